"""Numbers with units as people write them in a spec: `10M`, `40M frames`, `500k`, `8h`, `90s`."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from rlsweep.spec.source import MAX_NUMBER

FRAMES_PER_ENV_STEP = "frames_per_env_step"
"""Key of pydantic's validation context: emulator frames in one env step, by which `frames` are divided."""

_COUNT = re.compile(r"(?P<number>[0-9][0-9_]*(?:\.[0-9]+)?)\s*(?P<unit>[kKMGB]?)")
_COUNT_UNITS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}
_ENV_STEP_UNITS = re.compile(r"(?P<count>.*?)\s*(?P<unit>frames|env_steps|env steps)", re.DOTALL)
_DURATION = re.compile(r"(?P<number>[0-9][0-9_]*(?:\.[0-9]+)?)\s*(?P<unit>s|min|h|d)")
_DURATION_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_BYTES = re.compile(r"(?P<number>[0-9][0-9_]*(?:\.[0-9]+)?)\s*(?P<unit>[kMGT]?)(?P<binary>i?)B")
_BYTE_EXPONENTS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}


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
    return _whole(_number(match) * _COUNT_UNITS[match["unit"]], value)


def parse_env_steps(value: Any, frames_per_env_step: int = 1) -> Any:
    """`"10M"` -> 10_000_000 and `"40M frames"` -> 10_000_000 where a step has 4 frames (rounded up).

    Raises:
        ValueError: as `parse_count`.
    """
    match = _ENV_STEP_UNITS.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return parse_count(value)
    count = parse_count(match["count"])
    return -(-count // frames_per_env_step) if match["unit"] == "frames" else count


def parse_seconds(value: Any) -> Any:
    """`"8h"` -> 28800.0. Numbers are seconds already.

    Raises:
        ValueError: the text is no duration.
    """
    if isinstance(value, bool):
        raise ValueError("write a duration, not true or false")
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError("write a duration with s, min, h or d: 90s, 30min, 8h")
    return float(_number(match) * _DURATION_UNITS[match["unit"]])


def parse_bytes(value: Any) -> Any:
    """`"500GB"` -> 500_000_000_000, `"2GiB"` -> 2_147_483_648. Numbers are bytes already.

    Raises:
        ValueError: the text is no size.
    """
    if isinstance(value, bool):
        raise ValueError("write a size, not true or false")
    if not isinstance(value, str):
        return value
    match = _BYTES.fullmatch(value.strip())
    if match is None:
        raise ValueError("write a size with kB, MB, GB or TB (or KiB, MiB, GiB): 500GB")
    unit = (1024 if match["binary"] else 1000) ** _BYTE_EXPONENTS[match["unit"]]
    return int(_number(match) * unit)


def parse_frames(value: Any) -> Any:
    """`"108k"` or `"108k frames"` -> 108_000.

    Raises:
        ValueError: as `parse_count`.
    """
    return parse_count(value.strip().removesuffix("frames") if isinstance(value, str) else value)


def duration(seconds: float) -> str:
    """`5400` -> `1h30m`; `?` where it is no number."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days}d{hours_left:02d}h"
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def _number(match: re.Match[str]) -> Decimal:
    number = Decimal(match["number"].replace("_", ""))
    if number > MAX_NUMBER:
        raise ValueError(f"more than {MAX_NUMBER:.0e} of anything is a slip")
    return number


def _whole(count: Decimal, written: str) -> int:
    if count != int(count):
        raise ValueError(f"{written!r} is not a whole number")
    return int(count)


def _parse_env_steps_field(value: Any, info: ValidationInfo) -> Any:
    return parse_env_steps(value, (info.context or {}).get(FRAMES_PER_ENV_STEP, 1))


_COUNT_PATTERN = r"^\d[\d_]*(\.\d+)?\s*[kKMGB]?"
_ENV_STEPS_PATTERN = _COUNT_PATTERN + r"(\s*(frames|env_steps|env steps))?$"


def _written_as(kind: str, pattern: str) -> WithJsonSchema:
    """How editors are told of a quantity."""
    return WithJsonSchema({"anyOf": [{"type": kind}, {"type": "string", "pattern": pattern}]})


EnvSteps = Annotated[
    int,
    BeforeValidator(_parse_env_steps_field),
    Field(gt=0, le=10**12),
    _written_as("integer", _ENV_STEPS_PATTERN),
]
"""A positive number of env steps (agent decisions); `10M` and `40M frames` allowed."""

EnvStepsFrom0 = Annotated[
    int,
    BeforeValidator(_parse_env_steps_field),
    Field(ge=0, le=10**12),
    _written_as("integer", _ENV_STEPS_PATTERN),
]
"""The same, or 0."""

Frames = Annotated[
    int,
    BeforeValidator(parse_frames),
    Field(gt=0, le=10**12),
    _written_as("integer", _COUNT_PATTERN + "$"),
]
"""A positive number of emulator frames, `108k` allowed."""

Seconds = Annotated[
    float,
    BeforeValidator(parse_seconds),
    Field(gt=0, le=10**10),
    _written_as("number", r"^\d[\d_]*(\.\d+)?\s*(s|min|h|d)$"),
]
"""A positive duration in seconds, `8h` allowed."""

Bytes = Annotated[
    int,
    BeforeValidator(parse_bytes),
    Field(gt=0),
    _written_as("integer", r"^\d[\d_]*(\.\d+)?\s*[kMGT]?i?B$"),
]
"""A positive size in bytes, `500GB` allowed."""
