"""Numbers with units as people write them in a spec: `10M`, `500k`, `8h`, `90s`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_COUNT = re.compile(r"(?P<number>\d[\d_]*(?:\.\d+)?)\s*(?P<unit>[kKMGB]?)")
_COUNT_UNITS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}
_DURATION = re.compile(r"(?P<number>\d[\d_]*(?:\.\d+)?)\s*(?P<unit>s|min|h|d)")
_DURATION_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def parse_count(value: Any) -> Any:
    """`"10M"` -> 10_000_000. Numbers pass through, so that pydantic judges them.

    Raises:
        ValueError: the text is no count, or not a whole number once multiplied out.
    """
    if isinstance(value, bool):
        raise ValueError("write a whole number, not true or false")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, str):
        return value
    match = _COUNT.fullmatch(value.strip())
    if match is None:
        raise ValueError("write a whole number, or one with k, M or G: 20k, 1.5M")
    count = float(match["number"].replace("_", "")) * _COUNT_UNITS[match["unit"]]
    if not count.is_integer():
        raise ValueError(f"{value!r} is not a whole number")
    return int(count)


def parse_seconds(value: Any) -> Any:
    """`"8h"` -> 28800.0. Numbers are seconds already.

    Raises:
        ValueError: the text is no duration.
    """
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError("write a duration with s, min, h or d: 90s, 30min, 8h")
    return float(match["number"].replace("_", "")) * _DURATION_UNITS[match["unit"]]


EnvSteps = Annotated[int, BeforeValidator(parse_count), Field(gt=0, le=10**12)]
"""A positive number of env steps (agent decisions), `10M` allowed."""

Frames = Annotated[int, BeforeValidator(parse_count), Field(gt=0)]
"""A positive number of emulator frames, `108k` allowed."""

Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(gt=0)]
"""A positive duration in seconds, `8h` allowed."""
