"""`--set a.b=value` as a document of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rlsweep.errors import Issue, Location, SpecError
from rlsweep.spec.parameters import Distribution
from rlsweep.spec.source import Document, parse_text

PARAMETERS = ["search", "parameters"]

_LISTED = ("value", "values")
_BETWEEN = ("min", "max", "mu", "sigma", "step", "distribution")
"""Fields of a range that exclude each other: listed values, and what lies between bounds."""


def names_search_space(override: str) -> bool:
    """Whether an override can change which search spaces are merged, and so has to come before that."""
    return override.partition("=")[0].strip() in ("search", "search.space")


def parse_override(override: str, document: Document) -> Document:
    """What `--set a.b=value` lays over a document.

    Raises:
        SpecError: it has not that form, or the value is not YAML.
    """
    where = Location(f"--set {override}")
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise SpecError([Issue(where, "not of the form a.b=value", "--set search.trials=4")])
    value = _parse_value(text, where)
    keys = _swept_path_joined(keys)
    if keys[:2] == PARAMETERS and len(keys) == 4:
        keys, value = keys[:3], _range_with(document, keys[2], keys[3], value)
    steps = [int(key) if key.isdecimal() else key for key in keys]  # a list's item
    data: dict[Any, Any] = {steps[-1]: value}
    for step in reversed(steps[:-1]):
        data = {step: data}
    return Document(data, {tuple(steps[:depth]): where for depth in range(1, len(steps) + 1)})


def _parse_value(text: str, where: Location) -> Any:
    try:
        data = parse_text(f"value: {text}", where.source).data
    except SpecError as error:
        raise SpecError([replace(issue, location=where) for issue in error.issues]) from None
    if list(data) != ["value"]:
        raise SpecError([Issue(where, "more than one value", "--set once for each")])
    return data["value"]


def _swept_path_joined(keys: list[str]) -> list[str]:
    """`search.parameters.training.lr.values`: the dotted path of a swept value is one key."""
    if keys[:2] != PARAMETERS or len(keys) < 4:
        return keys
    is_field = keys[-1] in Distribution.model_fields
    path = keys[2:-1] if is_field else keys[2:]
    return [*keys[:2], ".".join(path), *(keys[-1:] if is_field else [])]


def _range_with(document: Document, path: str, field: str, value: Any) -> dict[str, Any]:
    """The range of a parameter with one field changed, and without those that it excludes."""
    found: Any = document.data
    for key in (*PARAMETERS, path):
        found = found.get(key) if isinstance(found, dict) else None
    kept = dict(found) if isinstance(found, dict) else {}
    if field in _LISTED:
        excluded = {*_LISTED, *_BETWEEN} - {field}
    else:
        excluded = set(_LISTED) if field in _BETWEEN else set()
    return {name: kept[name] for name in kept if name not in excluded} | {field: value}
