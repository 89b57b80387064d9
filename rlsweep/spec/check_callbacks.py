"""What is wrong with `callbacks:`: modules and classes that are not there. Nothing is imported."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from rlsweep.errors import nearest
from rlsweep.spec.check_training import Fault
from rlsweep.spec.sweep import Sweep

SHIPPED = "callbacks"
"""The package that users put theirs into."""

_PLAIN = (ast.AnnAssign, ast.Assign, ast.ClassDef, ast.Expr, ast.FunctionDef, ast.Import, ast.ImportFrom)
"""Statements of a module whose classes can be listed."""

Found = tuple[str, Fault]


def callback_faults(sweep: Sweep) -> Iterator[Found]:
    """Every callback that cannot be found, with the dotted path at fault."""
    for index, callback in enumerate(sweep.callbacks):
        where = f"callbacks.{index}"
        module, _, name = callback.name.partition(":")
        path = _module_file(module)
        if path is None:
            known = _shipped_modules()
            yield where, Fault(f"{where}: no module {module!r}", ", ".join(known), nearest(module, known))
        elif (classes := _classes(path, name)) is not None and name not in classes:
            known = [f"{module}:{one}" for one in classes if not one.startswith("_")]
            message = f"{where}: {module} has no {name!r}"
            yield where, Fault(message, ", ".join(known), nearest(callback.name, known))
        if callback.key in [other.key for other in sweep.callbacks[:index]]:
            yield where, Fault(f"{where}: {callback.key} stands twice")


def _module_file(module: str) -> Path | None:
    """The file of a module; neither it nor the packages above it are imported."""
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # `__main__`
        return None
    for name in below:
        if spec is None or not spec.submodule_search_locations:
            return None
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return Path(spec.origin) if spec is not None and spec.origin else None


def _classes(path: Path, wanted: str) -> list[str] | None:
    """The classes at a module's top level, and the one that is wanted if another statement may bring it.

    None where it may have others, or cannot be read; then its import says more.
    """
    try:
        body = ast.parse(path.read_text("utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return None
    imports = [node for node in body if isinstance(node, ast.ImportFrom)]
    imported = {alias.asname or alias.name for node in imports for alias in node.names}
    if "*" in imported or not all(isinstance(node, _PLAIN) for node in body):
        return None
    assigned = {
        target.id for node in body for target in getattr(node, "targets", ()) if hasattr(target, "id")
    }
    classes = [node.name for node in body if isinstance(node, ast.ClassDef)]
    return [*classes, *({wanted} & (imported | assigned))]


def _shipped_modules() -> list[str]:
    """Those that a spec may name; what runs beside Tune in the driver is not among them."""
    root = _module_file(SHIPPED)
    if root is None:
        return []
    found = [path.relative_to(root.parent.parent).with_suffix("").parts for path in root.parent.rglob("*.py")]
    return sorted(".".join(parts) for parts in found if parts[-1] != "__init__" and parts[1] != "driver")
