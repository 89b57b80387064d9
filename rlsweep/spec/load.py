"""`load`: a spec file -> Sweep. What it extends, a profile, `--set` and search spaces are laid over
each other first, and every value keeps the place it was written at."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from rlsweep.errors import Issue, Location, SpecError, nearest
from rlsweep.spec.merge import below, overlay
from rlsweep.spec.overrides import parse_override
from rlsweep.spec.source import Document, parse_file
from rlsweep.spec.sweep import Sweep
from rlsweep.spec.validate import key_path, validate

SWEEPS_DIR = Path("sweeps")
SEARCH_SPACES_DIR = Path("search_spaces")

_SPACE_KEYS = ("description", "source", "parameters")


@dataclass(frozen=True)
class LoadedSpec:
    """A sweep and the places that its values were written at.

    Attributes:
        profiles: names of all profiles of the spec.
        files: the spec, what it extends and its search spaces, as they lie on disk with their comments.
    """

    sweep: Sweep
    document: Document
    profiles: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    def location(self, dotted: str) -> Location:
        """Where the key `a.b.c` was written, or the nearest section round it."""
        return self.document.location(key_path(dotted))


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
    assembly = _Assembly(root)
    document = assembly.read_with_parents(find_spec(spec, root), ())
    profiles = assembly.apply_profile(document, profile)
    for override in overrides:
        assembly.apply_override(document, override)
    assembly.merge_search_spaces(document)
    sweep, issues = validate(document)
    if assembly.issues:  # a key that is missing may stand in what could not be read
        issues = [issue for issue in issues if not issue.message.endswith("is missing")]
    issues = assembly.issues + issues
    if issues or sweep is None:
        raise SpecError(_in_order(issues))
    return LoadedSpec(sweep, document, profiles, tuple(assembly.files))


def load_all_profiles(spec: str | Path, overrides: Sequence[str] = (), root: Path = Path()) -> LoadedSpec:
    """Load a spec without a profile and with each of its profiles, to check them all.

    Returns:
        The spec without a profile.

    Raises:
        SpecError: with the issues of all of them, each once.
    """
    issues: list[Issue] = []
    try:
        plain: LoadedSpec | None = load(spec, overrides=overrides, root=root)
    except SpecError as error:
        plain, issues = None, list(error.issues)
    for profile in plain.profiles if plain else _profile_names(spec, root):
        try:
            load(spec, profile=profile, overrides=overrides, root=root)
        except SpecError as error:
            issues += error.issues
    if issues or plain is None:
        raise SpecError(_in_order(issues))
    return plain


def _profile_names(spec: str | Path, root: Path) -> list[str]:
    """The profiles of a spec that has mistakes; none where it cannot be read."""
    try:
        document = _Assembly(root).read_with_parents(find_spec(spec, root), ())
    except SpecError:
        return []
    profiles = document.data.get("profiles")
    return [str(name) for name in profiles] if isinstance(profiles, dict) else []


def find_spec(spec: str | Path, root: Path = Path()) -> Path:
    """The file a spec's name stands for: the path itself, or that name in sweeps/.

    Raises:
        SpecError: neither exists.
    """
    candidates = [Path(spec), root / SWEEPS_DIR / spec, root / SWEEPS_DIR / f"{spec}.yaml"]
    for candidate in candidates:
        with contextlib.suppress(OSError, ValueError):  # a name too long for the file system, or with a NUL
            if candidate.is_file():
                return candidate
    known = sorted(path.name for path in (root / SWEEPS_DIR).glob("*.yaml"))
    message = f"no such spec, neither as a path nor in {SWEEPS_DIR}/"
    raise SpecError([Issue(Location(str(spec)), message, ", ".join(known), nearest(str(spec), known))])


class _Assembly:
    """Puts a document together from its parts; a part that cannot be is an issue, the rest goes on."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.issues: list[Issue] = []
        self.files: list[Path] = []

    def read_with_parents(self, path: Path, children: tuple[Path, ...]) -> Document:
        """A spec over what it extends, and that over what it extends in turn."""
        document = parse_file(path, self.issues)
        self.files.append(path)
        parent = document.data.pop("extends", None)
        if parent is None:
            return document
        where = document.location(("extends",))
        try:
            parent_path = self._parent(parent, path)
            if parent_path.resolve() in [child.resolve() for child in (*children, path)]:
                raise ValueError(f"{parent} extends this file in turn: a circle")
            base = self.read_with_parents(parent_path, (*children, path))
        except ValueError as error:
            self.issues.append(Issue(where, str(error)))
        except SpecError as error:
            self.issues += error.issues
        else:
            overlay(base, document)
            return base
        return document

    def _parent(self, parent: Any, path: Path) -> Path:
        """The file that `extends` names, beside this one or in sweeps/."""
        if not isinstance(parent, str):
            raise ValueError("extends names one file, for example extends: base/atari_ppo.yaml")
        _check_inside(parent, "extends")
        folders = [path.parent, self._root / SWEEPS_DIR]
        for folder in folders:
            with contextlib.suppress(OSError, ValueError):
                if (folder / parent).is_file():
                    return folder / parent
        known = sorted({str(found.relative_to(f)) for f in folders for found in f.glob("**/*.yaml")})
        near = nearest(parent, known)
        raise ValueError(f"extends {parent!r}: no such file" + (f"; did you mean {near!r}?" if near else ""))

    def apply_profile(self, document: Document, name: str | None) -> tuple[str, ...]:
        """Lay the named profile over the document; returns the names of all."""
        profiles = document.data.get("profiles", {})
        where = document.location(("profiles",))
        if not isinstance(profiles, dict) or not all(isinstance(p, dict) for p in profiles.values()):
            self.issues.append(Issue(where, "profiles maps names to partial specs"))
            profiles = {}
        chosen = below(document, ("profiles", name)) if name in profiles and name is not None else None
        document.data.pop("profiles", None)
        if chosen is not None:
            overlay(document, chosen)
        elif name is not None:
            allowed = ", ".join(profiles) or "this spec has no profiles"
            self.issues.append(Issue(where, f"no profile {name!r}", allowed, nearest(name, profiles)))
        return tuple(profiles)

    def apply_override(self, document: Document, override: str) -> None:
        """Lay `a.b=value` over the document."""
        try:
            overlay(document, parse_override(override, document))
        except SpecError as error:
            self.issues += error.issues

    def merge_search_spaces(self, document: Document) -> None:
        """Lay the spec's parameters over those of its search spaces, the last of them uppermost."""
        search = document.data.get("search")
        if not isinstance(search, dict) or not search.get("space"):
            return
        names = search["space"] if isinstance(search["space"], list) else [search["space"]]
        merged = Document({}, {})
        for index, name in enumerate(names):
            where = document.location(("search", "space", index))
            try:
                overlay(merged, self._search_space(str(name), where))
            except SpecError as error:
                self.issues += error.issues
        overlay(merged, Document({"search": search}, {}))
        document.data["search"] = merged.data["search"]
        document.locations = merged.locations | document.locations

    def _search_space(self, name: str, where: Location) -> Document:
        folder = self._root / SEARCH_SPACES_DIR
        path = folder / f"{name}.yaml"
        try:
            _check_inside(name, "search.space")
            if not path.is_file():
                known = sorted(found.stem for found in folder.glob("*.yaml"))
                allowed = ", ".join(known) or f"{folder}/ holds none"
                raise SpecError([Issue(where, f"no search space {name!r}", allowed, nearest(name, known))])
        except (OSError, ValueError) as error:
            raise SpecError([Issue(where, str(error))]) from None
        space = parse_file(path, self.issues)
        self.files.append(path)
        for key in space.data:
            if key not in _SPACE_KEYS:
                message, allowed = f"unknown key {key!r} in a search space", ", ".join(_SPACE_KEYS)
                self.issues.append(Issue(space.location((key,)), message, allowed, nearest(key, _SPACE_KEYS)))
        places = {("search", *keys): place for keys, place in space.locations.items() if keys}
        return Document({"search": {"parameters": space.data.get("parameters", {})}}, places)


def _check_inside(path: str, key: str) -> None:
    """A spec reads files of its project only."""
    parts = PurePath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{key} {path!r}: a path without .. below this file's folder or {SWEEPS_DIR}/")


def _in_order(issues: list[Issue]) -> list[Issue]:
    """Each once, in the order of the files."""
    unique = list({str(issue): issue for issue in issues}.values())
    return sorted(
        unique, key=lambda issue: (issue.location.source, issue.location.line, issue.location.column)
    )
