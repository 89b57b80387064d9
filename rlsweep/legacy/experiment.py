"""One experiment of an old file: its keys, each with its place, to be taken out as they are converted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rlsweep.errors import Issue, Location
from rlsweep.legacy.keys import SECTIONS
from rlsweep.legacy.values import is_count
from rlsweep.spec.source import Document, KeyPath

GRID_SEARCH = "grid_search"


@dataclass(frozen=True)
class Grid:
    """The values that stood under `grid_search`."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class OldKey:
    """One key of an experiment.

    Attributes:
        name: dotted, without `config`: `model.dim`, `stop.timesteps_total`, `lr`.
        value: a Grid where `grid_search` stood; the old default where nothing was written.
        where: its place in the file.
        is_written: whether the file has it.
    """

    name: str
    value: Any
    where: Location
    is_written: bool = True

    @property
    def is_grid(self) -> bool:
        """Whether it is swept."""
        return isinstance(self.value, Grid)

    @property
    def values(self) -> tuple[Any, ...]:
        """The values of the grid, or the single value."""
        return self.value.values if isinstance(self.value, Grid) else (self.value,)

    @property
    def plain(self) -> Any:
        """The value as it was written."""
        return {GRID_SEARCH: list(self.values)} if self.is_grid else self.value

    @property
    def count(self) -> int:
        """The value (of a grid the first one) as a number of things; 1 where it is none."""
        return self.values[0] if is_count(self.values[0]) else 1


class Experiment:
    """One experiment of an old file, its sections flattened. Keys are taken out as they are converted.

    Attributes:
        name: as written.
        where: its place in the file.
        unset: keys with the value null, which left RLlib's default as it is.
        issues: what cannot be read.
    """

    def __init__(self, document: Document, name: str) -> None:
        self.name = name
        self.where = document.location((name,))
        self.unset: list[OldKey] = []
        self.issues: list[Issue] = []
        self._keys: dict[str, OldKey] = {}
        self._document = document
        self._read_section((), document.data[name])

    def look(self, *names: str, default: Any = None) -> OldKey:
        """The first of these keys that was written, else the default."""
        written = (self._keys[name] for name in names if name in self._keys)
        return next(written, OldKey(names[0], default, self.where, is_written=False))

    def take(self, *names: str, default: Any = None) -> OldKey:
        """As `look`, and the key is gone."""
        key = self.look(*names, default=default)
        self._keys.pop(key.name, None)
        return key

    def take_all(self, prefix: str = "") -> Iterator[OldKey]:
        """All keys that are left under a prefix, in the order of the file."""
        for name in [name for name in self._keys if name.startswith(prefix)]:
            yield self._keys.pop(name)

    def _read_section(self, section: KeyPath, data: Any) -> None:
        path = (self.name, *section)
        if data is None:
            return
        if not isinstance(data, Mapping) or GRID_SEARCH in data:
            message = f"{section[-1] if section else self.name}: a section with keys belongs here"
            allowed = "keys, each with its own grid_search" if section else "run: PPO, env: …, config: {…}"
            self.issues.append(Issue(self._document.location(path), message, allowed))
            return
        for key, value in data.items():
            if key in SECTIONS.get(section, ()):
                self._read_section((*section, key), value)
            else:
                name = ".".join(map(str, (*section, key))).removeprefix("config.")
                self._read_key(name, value, self._document.location((*path, key)))

    def _read_key(self, name: str, value: Any, where: Location) -> None:
        is_grid = isinstance(value, Mapping) and set(value) == {GRID_SEARCH}
        choices = value[GRID_SEARCH] if is_grid else [value]
        if value is None:
            self.unset.append(OldKey(name, value, where))
        elif not isinstance(choices, list) or not choices:
            self.issues.append(Issue(where, f"{name}: grid_search takes a list of values"))
        elif any(map(_holds_grid_search, choices)):
            self.issues.append(Issue(where, f"{name}: grid_search inside of a value", "whole values"))
        elif name in self._keys:
            self.issues.append(Issue(where, f"{name}: stands here twice, once beside config"))
        else:
            self._keys[name] = OldKey(name, Grid(tuple(choices)) if is_grid else value, where)


def _holds_grid_search(value: Any) -> bool:
    if isinstance(value, Mapping):
        return GRID_SEARCH in value or any(map(_holds_grid_search, value.values()))
    return isinstance(value, list) and any(map(_holds_grid_search, value))
