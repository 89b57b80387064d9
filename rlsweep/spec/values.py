"""A sweep with some of its values changed: what one configuration stands for."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from rlsweep.errors import Issue, Location, SpecError
from rlsweep.spec.curriculum import Bound
from rlsweep.spec.hyperparameters import hyperparameters
from rlsweep.spec.sweep import Sweep

SWEPT = "search.parameters"
"""Where a swept value is written, as the place of an issue that has no line yet."""

_KIND_PATHS = ("network", "network.name")
"""A section of another kind has other keys: these are set first, and replace the section."""


def with_values(sweep: Sweep, values: Mapping[str, Any]) -> Sweep:
    """`sweep` with each dotted path set to its value.

    Args:
        sweep: stays as it is.
        values: for example `{"training.lr": 3e-4, "network.name": "impala_resnet"}`.

    Raises:
        pydantic.ValidationError: the spec does not take a value.
        SpecError: a path leads through something that is no section.
    """
    return Sweep.parse(data_with_values(sweep, values)) if values else sweep


def data_with_values(sweep: Sweep, values: Mapping[str, Any]) -> dict[str, Any]:
    """The data that `with_values` parses.

    Raises:
        SpecError: a path leads through something that is no section.
    """
    data = sweep.as_written()
    for path, value in sorted(values.items(), key=lambda item: item[0] not in _KIND_PATHS):
        _set(data, path, copy.deepcopy(value))
    return data


def value_at(sweep: Sweep, path: str) -> Any:
    """The value that a spec has at a dotted path; RLlib's default for a hyperparameter that it leaves out.

    Raises:
        KeyError: there is no such key.
    """
    place: Any = sweep
    for depth, key in enumerate(keys := path.split(".")):
        if isinstance(place, Mapping) and key in place:
            place = place[key]
        elif isinstance(place, BaseModel) and (name := _field_name(place, key)):
            place = getattr(place, name)
        elif isinstance(place, tuple) and key.isdecimal() and int(key) < len(place):
            place = place[int(key)]
        elif keys[0] == "training" and depth == 1:
            place = hyperparameters(sweep.algorithm)[key].default
        else:
            raise KeyError(path)
    return _plain(place)


def _field_name(section: BaseModel, key: str) -> str | None:
    """The attribute that holds what a spec writes under a key."""
    fields = type(section).model_fields
    aliases = {field.alias: name for name, field in fields.items() if field.alias}
    names = {name: name for name, field in fields.items() if not field.alias} | aliases
    return names.get(key) or (key if key in (section.model_extra or {}) else None)


def _plain(value: Any) -> Any:
    """As it would stand in a spec: lists, not tuples, and sections as mappings."""
    if isinstance(value, Bound):
        return value.as_written
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True, by_alias=True)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _set(data: dict[str, Any], path: str, value: Any) -> None:
    *sections, name = path.split(".")
    place: Any = data
    for section in sections:
        is_list = isinstance(place, list)
        place = place[_item(place, section, path)] if is_list else place.setdefault(section, {})
        if not isinstance(place, (dict, list)):
            raise SpecError([Issue(Location(SWEPT), f"{path}: {section!r} holds one value, no keys")])
    if path in _KIND_PATHS and place.get(name) != value:
        place.clear() if sections else None
    if isinstance(place, list):
        place[_item(place, name, path)] = value
    else:
        place[name] = value


def _item(items: list[Any], key: str, path: str) -> int:
    if not key.isdecimal() or int(key) >= len(items):
        message = f"{path}: {key!r} is no item of a list of {len(items)}"
        raise SpecError([Issue(Location(SWEPT), message, ", ".join(map(str, range(len(items)))))])
    return int(key)
