"""Swept parameters as Optuna has them: each with a distribution that holds every value that was tried."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from rlsweep.plan.coordinates import coordinate_distribution, decode
from rlsweep.spec import Distribution

_LOG_RATIO = 10
"""Numbers further apart are shown on a logarithmic axis, where their range is not known any more."""


@dataclass(frozen=True)
class Axis:
    """A swept parameter as Optuna has it.

    Attributes:
        distribution: holds every value that was tried.
        is_text: its choices are the JSON texts of the values, which Optuna could not keep or tell apart.
    """

    distribution: BaseDistribution
    is_text: bool = False

    def param(self, value: Any) -> Any:
        """A value of the parameter, for a trial."""
        return _text(value) if self.is_text else value


def axes_of(
    configurations: Sequence[Mapping[str, Any]], ranges: Mapping[str, Distribution]
) -> dict[str, Axis]:
    """Path -> its range in the spec; what was tried, where that is not known or was another one."""
    found = {}
    for path in dict.fromkeys(path for values in configurations for path in values):
        tried = [values[path] for values in configurations if path in values]
        range_ = ranges.get(path)
        if range_ is not None and range_.is_range and all(map(range_.contains, tried)):
            found[path] = Axis(_range_distribution(range_, tried))
        elif (range_ is None or range_.is_range) and all(map(_is_number, tried)):
            found[path] = Axis(_span(tried))
        else:
            found[path] = _choices([*((range_ and range_.choices) or []), *tried])
    return found


def _range_distribution(range_: Distribution, tried: Sequence[float]) -> BaseDistribution:
    """Of the values, where `coordinate_distribution` of a normal one is of probabilities."""
    distribution = coordinate_distribution(range_)
    if range_.mu is None or not isinstance(distribution, FloatDistribution):
        return distribution
    ends = [float(decode(range_, end)) for end in (distribution.low, distribution.high)]
    low, high = min(*ends, *tried), max(*ends, *tried)
    return FloatDistribution(low, high, log=range_.kind == "log_normal" and low > 0)


def _span(tried: Sequence[float]) -> BaseDistribution:
    low, high = min(tried), max(tried)
    is_log = low > 0 and high / low > _LOG_RATIO
    if all(isinstance(value, int) for value in tried):
        return IntDistribution(int(low), int(high), log=is_log)
    return FloatDistribution(low, high, log=is_log)


def _choices(values: Sequence[Any]) -> Axis:
    is_plain = all(value is None or isinstance(value, (bool, int, float, str)) for value in values)
    if is_plain and len(set(values)) == len({(isinstance(value, bool), value) for value in values}):
        return Axis(CategoricalDistribution(list(dict.fromkeys(values))))
    return Axis(CategoricalDistribution(list(dict.fromkeys(map(_text, values)))), is_text=True)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
