"""A spec put together from its parts: what it extends, a profile, `--set`, search spaces."""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePath
from typing import Any

from rlsweep.errors import Issue, Location, SpecError, did_you_mean, nearest
from rlsweep.spec.merge import below, overlay
from rlsweep.spec.overrides import parse_override
from rlsweep.spec.source import Document, parse_file

SWEEPS_DIR = Path("sweeps")
SEARCH_SPACES_DIR = Path("search_spaces")

_SPACE_KEYS = ("description", "source", "parameters")


class Assembly:
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
        raise ValueError(f"extends {parent!r}: no such file{did_you_mean(nearest(parent, known))}")

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
