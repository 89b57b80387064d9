"""A sweep with some of its values changed: what one configuration stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlsweep.errors import Issue, Location, SpecError
from rlsweep.spec.sweep import Sweep

SWEPT = "search.parameters"
"""Where a swept value is written, as the place of an issue that has no line yet."""


def with_values(sweep: Sweep, values: Mapping[str, Any]) -> Sweep:
    """`sweep` with each dotted path set to its value.

    Args:
        sweep: stays as it is.
        values: for example `{"training.lr": 3e-4, "network.name": "impala_resnet"}`.

    Raises:
        pydantic.ValidationError: the spec does not take a value.
        SpecError: a path leads through something that is no section.
    """
    if not values:
        return sweep
    data = sweep.model_dump(exclude_unset=True)
    for path, value in values.items():
        *sections, name = path.split(".")
        place = data
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise SpecError([Issue(Location(SWEPT), f"{path}: {section!r} holds one value, no keys")])
        place[name] = value
    return Sweep.model_validate(data)
