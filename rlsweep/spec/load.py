"""`load`: a spec file -> Sweep. What it extends, a profile, `--set` and search spaces are laid over
each other first, and every value keeps the place it was written at."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rlsweep.errors import Issue, Location, SpecError, nearest
from rlsweep.spec.check import hyperparameter_issues, parameter_issues, validation_issues
from rlsweep.spec.parameters import Distribution
from rlsweep.spec.source import Document, KeyPath, parse_file, parse_text
from rlsweep.spec.sweep import Sweep

SWEEPS_DIR = Path("sweeps")
SEARCH_SPACES_DIR = Path("search_spaces")


@dataclass(frozen=True)
class LoadedSpec:
    """A sweep and the places that its values were written at.

    Attributes:
        profiles: names of all profiles of the spec.
    """

    sweep: Sweep
    document: Document
    profiles: tuple[str, ...] = ()

    def location(self, dotted: str) -> Location:
        """Where the key `a.b.c` was written, or the nearest section round it."""
        return self.document.location(tuple(dotted.split(".")) if dotted else ())


def load(
    spec: str | Path,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    root: Path = Path(),
) -> LoadedSpec:
    """Read a spec and everything it refers to.

    Args:
        spec: a path, or the name of a file in sweeps/.
        profile: name of one of the spec's `profiles`.
        overrides: `a.b=value` each, the value in YAML, laid over everything else.
        root: the directory that holds sweeps/ and search_spaces/.

    Raises:
        SpecError: with every issue found, each with file, line and column.
    """
    document = _read_with_parents(find_spec(spec, root), ())
    profiles = _apply_profile(document, profile)
    for override in overrides:
        _overlay(document, _parse_override(override))
    _merge_search_spaces(document, root)
    return LoadedSpec(validate(document), document, profiles)


def validate(document: Document) -> Sweep:
    """Check merged data against the models and the checks that reach across sections."""
    issues = hyperparameter_issues(document)
    try:
        sweep = Sweep.model_validate(document.data)
    except ValidationError as error:
        issues = validation_issues(error, document) + issues
    else:
        issues = issues or parameter_issues(sweep, document)
    if issues:
        raise SpecError(sorted(issues, key=lambda issue: (issue.location.source, issue.location.line)))
    return sweep


def find_spec(spec: str | Path, root: Path = Path()) -> Path:
    """The file a spec's name stands for: the path itself, or that name in sweeps/.

    Raises:
        SpecError: neither exists.
    """
    candidates = [Path(spec), root / SWEEPS_DIR / spec, root / SWEEPS_DIR / f"{spec}.yaml"]
    for candidate in candidates:
        with contextlib.suppress(OSError):  # a name too long for the file system, for one
            if candidate.is_file():
                return candidate
    known = sorted(path.name for path in (root / SWEEPS_DIR).glob("*.yaml"))
    raise SpecError(
        [
            Issue(
                Location(str(spec)),
                f"no such spec, neither as a path nor in {SWEEPS_DIR}/",
                ", ".join(known),
                nearest(str(spec), known),
            )
        ]
    )


def _read_with_parents(path: Path, children: tuple[Path, ...]) -> Document:
    document = parse_file(path)
    parent = document.data.pop("extends", None)
    if parent is None:
        return document
    where = document.locations[("extends",)]
    if not isinstance(parent, str):
        raise SpecError([Issue(where, "extends names one file", "extends: base/atari_ppo.yaml")])
    parent_path = path.parent / parent
    if parent_path.resolve() in [child.resolve() for child in (*children, path)]:
        raise SpecError([Issue(where, f"{parent} extends this file in turn: a circle")])
    if not parent_path.is_file():
        siblings = sorted(str(p.relative_to(path.parent)) for p in path.parent.glob("**/*.yaml"))
        raise SpecError([Issue(where, f"extends {parent!r}: no such file", "", nearest(parent, siblings))])
    base = _read_with_parents(parent_path, (*children, path))
    _overlay(base, document)
    return base


def _apply_profile(document: Document, name: str | None) -> tuple[str, ...]:
    """Lay the named profile over the document; returns the names of all."""
    profiles = document.data.pop("profiles", None) or {}
    where = document.location(("profiles",))
    if not isinstance(profiles, dict) or not all(isinstance(p, dict) for p in profiles.values()):
        raise SpecError([Issue(where, "profiles maps names to partial specs")])
    if name is None:
        return tuple(profiles)
    if name not in profiles:
        allowed = ", ".join(profiles) or "this spec has no profiles"
        raise SpecError([Issue(where, f"no profile {name!r}", allowed, nearest(name, profiles))])
    prefix: KeyPath = ("profiles", name)
    locations = {
        path[2:]: place for path, place in document.locations.items() if path[:2] == prefix and path[2:]
    }
    _overlay(document, Document(profiles[name], locations))
    return tuple(profiles)


def _parse_override(override: str) -> Document:
    where = Location(f"--set {override}")
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise SpecError([Issue(where, "not of the form a.b=value", "--set search.trials=4")])
    value = _parse_value(text, where)
    keys = _swept_path_joined(keys)
    data: dict[str, Any] = {keys[-1]: value}
    for key in reversed(keys[:-1]):
        data = {key: data}
    return Document(data, {tuple(keys[:depth]): where for depth in range(1, len(keys) + 1)})


def _parse_value(text: str, where: Location) -> Any:
    data = parse_text(f"value: {text}", where.source).data
    if list(data) != ["value"]:
        raise SpecError([Issue(where, "more than one value", "--set once for each")])
    return data["value"]


def _swept_path_joined(keys: list[str]) -> list[str]:
    """`search.parameters.training.lr.values`: the dotted path of a swept value is one key."""
    if keys[:2] != ["search", "parameters"] or len(keys) < 4:
        return keys
    is_field = keys[-1] in Distribution.model_fields
    path = keys[2:-1] if is_field else keys[2:]
    return [*keys[:2], ".".join(path), *(keys[-1:] if is_field else [])]


def _merge_search_spaces(document: Document, root: Path) -> None:
    search = document.data.get("search")
    if not isinstance(search, dict) or not search.get("space"):
        return
    names = search["space"] if isinstance(search["space"], list) else [search["space"]]
    where = document.location(("search", "space"))
    merged = Document({}, {})
    for name in names:
        path = root / SEARCH_SPACES_DIR / f"{name}.yaml"
        if not path.is_file():
            known = sorted(p.stem for p in (root / SEARCH_SPACES_DIR).glob("*.yaml"))
            raise SpecError(
                [Issue(where, f"no search space {name!r}", ", ".join(known), nearest(str(name), known))]
            )
        space = parse_file(path)
        _check_search_space(space)
        prefix: KeyPath = ("search", "parameters")
        _overlay(
            merged,
            Document(
                {"search": {"parameters": space.data.get("parameters", {})}},
                {("search", *path): place for path, place in space.locations.items() if path}
                | {prefix: space.location(("parameters",))},
            ),
        )
    _overlay(merged, Document({"search": search}, {}))
    document.data["search"] = merged.data["search"]
    document.locations = merged.locations | document.locations


def _check_search_space(space: Document) -> None:
    allowed = ("description", "source", "parameters")
    unknown = [key for key in space.data if key not in allowed]
    if unknown:
        raise SpecError(
            [
                Issue(
                    space.location((key,)),
                    f"unknown key {key!r} in a search space",
                    ", ".join(allowed),
                    nearest(key, allowed),
                )
                for key in unknown
            ]
        )


def _overlay(base: Document, over: Document) -> None:
    """Lay `over` on `base`: mappings merge key by key, everything else is replaced.

    A range of `search.parameters` and a section that names its kind (`network: {name: …}`,
    `scheduler: {type: …}`) are replaced whole when the kind changes: half of one and half of another
    would mean neither.
    """
    base.data = _merge(base.data, over.data, ())
    base.locations = base.locations | over.locations


def _merge(base: Any, over: Any, path: KeyPath) -> Any:
    if not (isinstance(base, dict) and isinstance(over, dict)) or _is_replaced(base, over, path):
        return over
    merged = dict(base)
    for key, value in over.items():
        merged[key] = _merge(base[key], value, (*path, key)) if key in base else value
    return merged


def _is_replaced(base: dict[str, Any], over: dict[str, Any], path: KeyPath) -> bool:
    if len(path) == 3 and path[:2] == ("search", "parameters"):
        return True
    return any(kind in over and over[kind] != base.get(kind) for kind in ("name", "type") if path)
