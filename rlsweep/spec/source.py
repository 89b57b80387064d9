"""YAML text -> plain data, together with the place each key was written at.

Only the safe YAML types are built: a tag such as `!!python/object` is an error, nothing is evaluated.
Two deviations from PyYAML's defaults, both towards what a reader expects: scalars are read as YAML 1.2 does
(`1e-4` is a number, `yes` and `1:30` are text), and a key written twice is an error (PyYAML keeps the last
one in silence).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from rlsweep.errors import Issue, Location, SpecError

KeyPath: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 1_000_000
"""A spec is written by hand; a larger file is not a spec."""

MAX_NUMBER = 10**40
"""A larger number is a slip, and overflows somewhere."""

MAX_VALUES = 100_000
"""Values after aliases are followed; an alias bomb has billions."""


@dataclass
class Document:
    """Parsed data and where it came from.

    Attributes:
        data: a mapping of plain Python values.
        locations: key path -> where that key (or list item) was written. The empty path is the file.
    """

    data: dict[str, Any] = field(default_factory=dict)
    locations: dict[KeyPath, Location] = field(default_factory=dict)

    def location(self, path: KeyPath) -> Location:
        """Where `path` was written, or the nearest enclosing key that was."""
        while path and path not in self.locations:
            path = path[:-1]
        return self.locations[path]


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema."""


_SCALARS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9][0-9_]*",
    "float": (
        r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    ),
}
_Loader.yaml_implicit_resolvers = {}
for _name, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), None)

_TAGS = {f"tag:yaml.org,2002:{name}" for name in (*_SCALARS, "str", "seq", "map")}


def parse_file(path: Path, issues: list[Issue] | None = None) -> Document:
    """Read one YAML file.

    Args:
        path: of the file.
        issues: mistakes that leave the rest readable (a key twice, a tag) are added here instead of raised.

    Raises:
        SpecError: the file is missing, too large, not UTF-8, not YAML, holds a key twice, or is not a
            mapping.
    """
    return parse_text(read_text(path), str(path), issues)


def read_text(path: Path) -> str:
    """The text of a spec file.

    Raises:
        SpecError: the file is missing, too large or not UTF-8.
    """
    name = str(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SpecError([Issue(Location(name), f"{size} bytes is no spec", f"at most {MAX_BYTES} bytes")])
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise SpecError([Issue(Location(name), "no such file")]) from None
    except (OSError, ValueError) as error:
        raise SpecError([Issue(Location(name), f"cannot be read as text: {error}")]) from None


def parse_text(text: str, name: str, issues: list[Issue] | None = None) -> Document:
    """Parse YAML text; `name` stands for the file in locations. Raises as `parse_file`."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        reader = _NodeReader(loader, name)
        document = Document({}, {(): Location(name, 1, 1)})
        data = reader.read(node, (), document.locations) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Location(name, mark.line + 1, mark.column + 1) if mark else Location(name)
        raise SpecError([Issue(where, f"not YAML: {error.problem}")]) from None
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError) as error:
        summary = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpecError([Issue(Location(name), f"not YAML: {summary}")]) from None
    finally:
        if loader is not None:
            loader.dispose()
    if reader.issues and issues is None:
        raise SpecError(reader.issues)
    if issues is not None:
        issues += reader.issues
    if not isinstance(data, dict):
        raise SpecError(
            [Issue(Location(name, 1, 1), "a spec is a mapping of keys", "for example `name: my_sweep`")]
        )
    document.data = data
    return document


class _NodeReader:
    """Turns YAML nodes into plain data and notes their places."""

    def __init__(self, loader: _Loader, name: str) -> None:
        self._loader = loader
        self._name = name
        self._count = 0
        self.issues: list[Issue] = []

    def read(self, node: yaml.Node, path: KeyPath, locations: dict[KeyPath, Location]) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise ValueError(f"too many values (more than {MAX_VALUES})")
        if node.tag not in _TAGS:
            allowed = "plain YAML values, with quotes around one that begins with !"
            issue = Issue(self._location(node), f"the tag {node.tag!r} is not allowed", allowed)
            raise SpecError([issue])
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(node, path, locations)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, child in enumerate(node.value):
                locations[(*path, index)] = self._location(child)
                items.append(self.read(child, (*path, index), locations))
            return items
        value = self._loader.construct_object(node)
        is_finite = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
        if is_finite and abs(value) > MAX_NUMBER:
            self._issue(node, "the number is too large", f"at most {MAX_NUMBER:.0e}")
            return MAX_NUMBER if value > 0 else -MAX_NUMBER
        return value

    def _read_mapping(
        self, node: yaml.MappingNode, path: KeyPath, locations: dict[KeyPath, Location]
    ) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self._issue(key_node, "a key must be a plain word")
                continue
            if key in mapping:
                first = locations[(*path, key)]
                self._issue(key_node, f"the key {key!r} stands here twice, first in line {first.line}")
                continue
            locations[(*path, key)] = self._location(key_node)
            mapping[key] = self.read(value_node, (*path, key), locations)
        return mapping

    def _location(self, node: yaml.Node) -> Location:
        return Location(self._name, node.start_mark.line + 1, node.start_mark.column + 1)

    def _issue(self, node: yaml.Node, message: str, allowed: str = "") -> None:
        self.issues.append(Issue(self._location(node), message, allowed))
