"""A new spec while it is written: its data, where each value comes from, and its text with comments."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

from rlsweep.errors import Issue, Location, SpecError
from rlsweep.legacy.experiment import Experiment, OldKey
from rlsweep.legacy.values import same
from rlsweep.legacy.yaml_text import LINE_LENGTH, flow, remark
from rlsweep.spec.source import Document, KeyPath
from rlsweep.spec.validate import validate

SECTIONS = (
    *("version", "name", "algorithm", "env", "training", "network", "search", "seeds"),
    *("objective", "stop", "resources", "checkpoints", "evaluation", "failures"),
)
"""The order of a new spec."""

REQUIRED = ("env.id", "network.conv_filters")
"""What a spec has to have also where it is swept."""

OLD_DEFAULT = "old RLlib's default"

Change = Callable[..., Any]
"""Old values -> the new one; raises ValueError where there is none."""


class Draft:
    """A new spec while it is written.

    Attributes:
        data: as the loader reads it.
        issues: what cannot be converted.
    """

    def __init__(self, old: Experiment) -> None:
        self.data: dict[str, Any] = {}
        self.issues: list[Issue] = []
        self._old = old
        self._written: set[str] = set()
        self._comments: dict[KeyPath, str] = {}
        self._locations: dict[KeyPath, Location] = {(): old.where}
        self._dropped: list[str] = []

    def __contains__(self, path: str) -> bool:
        return path in self._written

    def write(self, path: str, value: Any, comment: str = "", where: Location | None = None) -> None:
        """Set a dotted path; what comes after its second dot is one key."""
        *sections, name = keys = tuple(path.split(".", 2))
        place = self.data
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
        self._written.add(path)
        self._comments[keys] = comment
        self._locations[keys] = where or self._old.where

    def put(self, path: str, change: Change, *keys: OldKey, note: str = "") -> list[Any]:
        """Set a path to a function of old values; where these are swept, to that of each combination.

        The comment names the old keys that were written, `note` follows it. Returns the new values; none
        where there was an issue.
        """
        written = [key for key in keys if key.is_written]
        where = written[0].where if written else self._old.where
        if path in self:
            for key in written:
                self.drop(key, f"{path} says it already")
            return []
        try:
            values = [change(*choices) for choices in itertools.product(*(key.values for key in keys))]
        except ValueError as error:
            self.issues.append(Issue(where, f"{', '.join(key.name for key in written)}: {error}"))
            return []
        comment = "; ".join(filter(None, (_was(path, written, values), note)))
        if any(key.is_grid for key in keys):
            self._sweep(path, values, comment, where)
        else:
            self.write(path, values[0], comment, where)
        return values

    def rename(self, path: str, key: OldKey, change: Change = same, note: str = "") -> None:
        """`put` of one key, if it was written."""
        if key.is_written:
            self.put(path, change, key, note=note)

    def drop(self, key: OldKey, reason: str) -> None:
        """Note a key that has no place, if it was written; no reason stands for a key that nobody knows."""
        if key.is_written:
            was = flow({key.name: key.plain})[1:-1]
            self._dropped.append(f"{was} -- {reason}" if reason else f"unknown old key, dropped: {was}")

    def check(self) -> None:
        """Let the loader judge the new spec.

        Raises:
            SpecError: its findings at the places of the old file, and what was found before.
        """
        _, found = validate(Document(self.data, self._locations))
        if self.issues:  # a key that is missing may be one that could not be converted
            found = [issue for issue in found if not issue.message.endswith("is missing")]
        if self.issues or found:
            raise SpecError([*self.issues, *found])

    def text(self, head: str) -> str:
        """The YAML file."""
        source = flow(PurePath(self._old.where.source).name)
        origin = f"Converted by `rlsweep convert` from {source}: {flow(self._old.name)}."
        lines = [*head.splitlines(), *remark(origin)]
        for section in sorted(self.data, key=SECTIONS.index):
            lines += self._lines((section,), self.data[section])
        if self._dropped:
            lines += ["", "# Old keys without a place here:"]
            lines += itertools.chain(*map(remark, self._dropped))
        return "\n".join(lines) + "\n"

    def _sweep(self, path: str, values: list[Any], comment: str, where: Location) -> None:
        if path in REQUIRED:
            self.write(path, values[0], "the first of the grid", where)
        self.write("search.method", "grid")
        self.write(f"search.parameters.{path}", {"values": values}, comment, where)
        self._written.add(path)

    def _lines(self, path: KeyPath, value: Any) -> Iterator[str]:
        """A value as it was written stands on one line; the sections round it are blocks."""
        indent = "  " * (len(path) - 1)
        if path not in self._comments:
            yield f"{indent}{path[-1]}:"
            for key, inner in value.items():
                yield from self._lines((*path, key), inner)
            return
        line, comment = f"{indent}{flow(path[-1])}: {flow(value)}", self._comments[path]
        if len(line) + len(comment) + 3 > LINE_LENGTH and comment:
            yield from remark(comment, indent)
            yield line
        else:
            yield f"{line}  # {comment}" if comment else line


def _was(path: str, keys: list[OldKey], values: list[Any]) -> str:
    """`was num_workers`, or with its value where that has changed; nothing where both are the same."""
    if not keys:
        return OLD_DEFAULT
    if len(keys) > 1 or flow(list(keys[0].values)) != flow(values):
        return "was " + ", ".join(flow({key.name: key.plain})[1:-1] for key in keys)
    return "" if path.partition(".")[2] == keys[0].name else f"was {flow(keys[0].name)}"
