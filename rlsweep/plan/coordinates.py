"""One coordinate of a search space, the index of a choice or a number, and the value that it stands for."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, TypeAlias

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from rlsweep.spec import Distribution
from rlsweep.spec.parameters import INTEGER_KINDS, same

Coordinate: TypeAlias = int | float

DRAWN_DIGITS = 4
"""Digits of a drawn value: what names, tables and MLflow show is then the value itself."""

_TAIL = 1e-9
"""Probability that is cut off at an open end of a normal distribution."""


def coordinate_distribution(range_: Distribution) -> BaseDistribution:
    """Optuna's distribution of the coordinate of one range."""
    if range_.values is not None or range_.kind == "constant":
        return CategoricalDistribution(range(len(range_.choices or [])))
    if range_.kind in ("normal", "log_normal"):
        return FloatDistribution(*_probabilities(range_))
    low, high = range_.min or 0, range_.max or 0
    if range_.kind in INTEGER_KINDS:
        is_log = range_.kind == "log_int_uniform"
        step = 1 if is_log else int(range_.step or 1)
        low, high = int(low), int(high)
        return IntDistribution(low, low + (high - low) // step * step, log=is_log, step=step)
    is_log = range_.kind == "log_uniform"
    return FloatDistribution(float(low), float(high), log=is_log)


def decode(range_: Distribution, coordinate: Coordinate) -> Any:
    """The value at a coordinate: rounded to DRAWN_DIGITS or to the range's step, inside of its bounds."""
    if range_.values is not None or range_.kind == "constant":
        return (range_.choices or [])[int(coordinate)]
    if range_.kind in INTEGER_KINDS:
        return int(_in_bounds(range_, _stepped(range_, float(coordinate))))
    value = float(coordinate)
    if range_.kind in ("normal", "log_normal"):
        value = _normal(range_).inv_cdf(value)
        value = math.exp(value) if range_.kind == "log_normal" else value
    if range_.step is not None:
        return _in_bounds(range_, _stepped(range_, value))
    scale = (range_.max or 0) - (range_.min or 0) if range_.kind == "uniform" else value
    return _in_bounds(range_, _rounded(value, scale))


def encode(range_: Distribution, value: Any) -> Coordinate:
    """The coordinate of a value that lies in the range."""
    if range_.values is not None or range_.kind == "constant":
        return next(index for index, choice in enumerate(range_.choices or []) if same(value, choice))
    if range_.kind not in ("normal", "log_normal"):
        return int(value) if range_.kind in INTEGER_KINDS else float(value)
    low, high = _probabilities(range_)
    number = math.log(value) if range_.kind == "log_normal" else float(value)
    return min(max(_normal(range_).cdf(number), low), high)


def _normal(range_: Distribution) -> NormalDist:
    return NormalDist(range_.mu or 0.0, range_.sigma or 1.0)


def _probabilities(range_: Distribution) -> tuple[float, float]:
    """The part of the distribution function between the bounds."""
    normal = _normal(range_)
    as_normal = math.log if range_.kind == "log_normal" else float
    low = _TAIL if range_.min is None else normal.cdf(as_normal(range_.min))
    high = 1 - _TAIL if range_.max is None else normal.cdf(as_normal(range_.max))
    return max(low, _TAIL), min(high, 1 - _TAIL)


def _stepped(range_: Distribution, value: float) -> float:
    """The nearest multiple of the step, counted from `min` where the distribution is uniform."""
    step = range_.step or 1
    origin = (range_.min or 0) if range_.kind in ("uniform", "int_uniform") else 0
    return range_.tidy(origin + round((value - origin) / step) * step)


def _rounded(value: float, scale: float) -> float:
    """`value` to DRAWN_DIGITS significant digits of `scale`."""
    return round(value, DRAWN_DIGITS - 1 - math.floor(math.log10(abs(scale)))) if scale else value


def _in_bounds(range_: Distribution, value: float) -> float:
    low, high = range_.bounds
    return float(min(max(value, low), high))
