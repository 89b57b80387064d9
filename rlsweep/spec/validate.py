"""Merged data -> Sweep, or every issue of it at once."""

from __future__ import annotations

import copy
from typing import Any

from pydantic import ValidationError

from rlsweep.errors import Issue, Location
from rlsweep.spec.check import validation_issues, written_path
from rlsweep.spec.check_search import search_issues
from rlsweep.spec.check_training import training_issues
from rlsweep.spec.rules import broken_rules
from rlsweep.spec.source import Document, KeyPath
from rlsweep.spec.sweep import Sweep

_PLACEHOLDERS: dict[KeyPath, Any] = {
    ("version",): 1,
    ("name",): "unnamed",
    ("stop",): {"env_steps": 10**12},
    ("stop", "env_steps"): 10**12,
    ("objective",): {"metric": "score", "goal": "maximize"},
    ("objective", "goal"): "maximize",
}
"""What stands in for a required key that is missing or wrong while the rest of a spec is checked."""

_GAP = object()
"""Stands where an item of a list was taken away, so that the places of the others stay the same."""

_REPAIRS = 5
"""Taking away what is wrong can uncover something else that is, so often at most."""


def validate(document: Document) -> tuple[Sweep | None, list[Issue]]:
    """Check merged data against the models and the checks that reach across sections.

    What fits no model is taken out, and the rest is checked as if it had not been written.

    Returns:
        The sweep, None where the models do not take the data; and everything that is wrong.
    """
    issues = training_issues(document)
    sweep, data = None, document.data
    for attempt in range(_REPAIRS):
        try:
            found = Sweep.parse(data)
        except ValidationError as error:
            if attempt == 0:
                issues = validation_issues(error, document) + issues
            data = _repaired(data, error)
        else:
            sweep = found if attempt == 0 else None
            issues += _issues_between_sections(found, document)
            break
    return sweep, issues


def _issues_between_sections(sweep: Sweep, document: Document) -> list[Issue]:
    def locate(*keys: str | int) -> Location:
        return document.location(("search", *keys))

    return [
        *search_issues(sweep, locate),
        *(fault.at(document.location(key_path(path))) for path, fault in broken_rules(sweep)),
    ]


def key_path(dotted: str) -> KeyPath:
    """`stop.env_steps` as keys; what follows `search.parameters.` is one key, a number a list's item."""
    keys = dotted.split(".") if dotted else []
    if keys[:2] == ["search", "parameters"] and len(keys) > 2:
        return ("search", "parameters", ".".join(keys[2:]))
    return tuple(int(key) if key.isdecimal() else key for key in keys)


def _repaired(data: dict[str, Any], error: ValidationError) -> dict[str, Any]:
    data = copy.deepcopy(data)
    for details in error.errors(include_url=False):
        path = written_path(details["loc"], data)
        is_missing = details["type"] == "missing" and path not in _PLACEHOLDERS
        _replace(data, path[:-1] if is_missing else path, _PLACEHOLDERS.get(path))
    cleaned: dict[str, Any] = _without_gaps(data)
    return cleaned


def _replace(data: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Put a value at a path, or take away what stands there for None."""
    place: Any = data
    for key in path[:-1]:
        if not isinstance(place, (dict, list)) or (isinstance(place, dict) and key not in place):
            return
        place = place[key]  # type: ignore[index]
    if path and isinstance(place, list):
        place[path[-1]] = _GAP  # type: ignore[index]
    elif path and isinstance(place, dict):
        if value is None:
            place.pop(path[-1], None)
        else:
            place[path[-1]] = value


def _without_gaps(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_gaps(value) for key, value in data.items()}
    return [_without_gaps(item) for item in data if item is not _GAP] if isinstance(data, list) else data
