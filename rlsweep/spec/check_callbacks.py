"""What is wrong with `callbacks:`: modules and classes that are not there. Nothing is imported."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from rlsweep.errors import nearest
from rlsweep.spec.check_training import Fault
from rlsweep.spec.sweep import Sweep

SHIPPED = "callbacks"
"""The package that users put theirs into."""

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
        elif (names := _names(path)) is not None and name not in (*names.classes, *names.imported):
            known = [f"{module}:{one}" for one in names.classes if not one.startswith("_")]
            message = f"{where}: {module} has no {name!r}"
            yield where, Fault(message, ", ".join(known), nearest(callback.name, known))
        if callback.key in [other.key for other in sweep.callbacks[:index]]:
            yield where, Fault(f"{where}: {callback.key} stands twice")


def _module_file(module: str) -> Path | None:
    """The file of a module; neither it nor the packages above it are imported."""
    top, *below = module.split(".")
    spec = importlib.util.find_spec(top)
    for name in below:
        if spec is None or not spec.submodule_search_locations:
            return None
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return Path(spec.origin) if spec is not None and spec.origin else None


@dataclass(frozen=True)
class _Names:
    """What a module has at its top level."""

    classes: list[str]
    imported: list[str]


def _names(path: Path) -> _Names | None:
    """None where the module cannot be read; its import says why."""
    try:
        body = ast.parse(path.read_text("utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return None
    imports = [alias for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]
    return _Names(
        classes=[node.name for node in body if isinstance(node, ast.ClassDef)],
        imported=[alias.asname or alias.name for alias in imports],
    )


def _shipped_modules() -> list[str]:
    root = _module_file(SHIPPED)
    if root is None:
        return []
    found = [path.relative_to(root.parent.parent) for path in sorted(root.parent.rglob("*.py"))]
    return [".".join(path.with_suffix("").parts) for path in found if path.stem != "__init__"]
