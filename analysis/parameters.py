"""The swept parameters of a run: their values, and the scale that they belong on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.history import RunHistory

LOG_RATIO = 10.0
"""Positive values that span this or more get a logarithmic axis where no spec says how they were drawn."""

_LOG_PREFIX = "log_"
"""Of the distributions that are uniform, or normal, in the logarithm."""


@dataclass(frozen=True)
class SweptParameter:
    """One parameter.

    Attributes:
        path: dotted path into the spec.
        values: config id -> its value; configurations without it (`when:`) are left out.
        is_log: whether it belongs on a logarithmic axis.
    """

    path: str
    values: Mapping[str, Any]
    is_log: bool

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition(".")[2].rpartition("/")[2]

    @property
    def is_numeric(self) -> bool:
        """Whether every value is a finite number."""
        return all(map(is_number, self.values.values()))


def swept_parameters(run: RunHistory) -> list[SweptParameter]:
    """Those in which configurations differ, in the order of the spec."""
    values: dict[str, dict[str, Any]] = {path: {} for path in run.swept}
    for trial in run.trials:
        for path in values.keys() & trial.record.values.keys():
            values[path][trial.record.config_id] = trial.record.values[path]
    return [
        SweptParameter(path, found, _is_log(run.manifest.spec, path, list(found.values())))
        for path, found in values.items()
        if len({str(value) for value in found.values()}) > 1
    ]


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; `true` is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_logarithmic(values: Sequence[Any]) -> bool:
    """Whether values look as if they belong on a logarithmic axis: positive numbers that span LOG_RATIO or
    more."""
    if len(values) < 2 or not all(map(is_number, values)) or min(values) <= 0:
        return False
    return bool(max(values) / min(values) >= LOG_RATIO)


def _is_log(spec: Mapping[str, Any], path: str, values: Sequence[Any]) -> bool:
    """As the space says that the values were drawn; a guess for listed values and foreign runs."""
    written = spec.get("search", {}).get("parameters", {}).get(path, {})
    is_range = isinstance(written, Mapping) and not {"value", "values"} & set(written)
    if not is_range or not written:
        return is_logarithmic(values)
    is_log = str(written.get("distribution", "")).startswith(_LOG_PREFIX)
    return is_log and all(is_number(value) and value > 0 for value in values)
