"""`search.parameters`: what a swept value ranges over, in the shape of W&B sweeps."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from rlsweep.spec.model import SpecModel

DistributionName = Literal[
    "constant",
    "categorical",
    "uniform",
    "log_uniform",
    "int_uniform",
    "log_int_uniform",
    "normal",
    "log_normal",
]

_FITTING: dict[str, tuple[DistributionName, ...]] = {
    "value": ("constant",),
    "values": ("categorical",),
    "min and max": ("uniform", "log_uniform", "int_uniform", "log_int_uniform"),
    "mu and sigma": ("normal", "log_normal"),
}
"""What is written -> the distributions that it can mean; the first one where none is named."""

INTEGER_KINDS = ("int_uniform", "log_int_uniform")
_LOG_KINDS = ("log_uniform", "log_int_uniform")
_MOST_GRID_VALUES = 1_000
_FAR = 5
"""Standard deviations from the mean beyond which nothing is drawn (one in 3.5 million)."""

_LARGEST_LOG = 90.0
_MOST_STEPS = 1e12


class Distribution(SpecModel):
    """The range of one swept value.

    Attributes:
        value: one constant.
        values: choices, each as likely as the next. A choice may be a list or a mapping.
        min, max: real bounds, both inclusive; never exponents. Beside `mu` and `sigma` they cut the tails
            off.
        mu, sigma: mean and standard deviation; for log_normal of the natural logarithm.
        step: drawn values are `min` plus a multiple of it (`uniform`, `int_uniform`), or a multiple of it
            (all others).
        distribution: inferred as W&B does: `value` constant, `values` categorical, whole bounds
            `int_uniform`, other bounds `uniform`, `mu` with `sigma` normal.
        when: other paths -> the value (or list of values) that they must have for this one to exist.
        zip: path of another parameter with as many `values`; the two move together.
    """

    value: Any = None
    values: list[Any] | None = Field(default=None, min_length=1, max_length=1_000)
    min: int | float | None = None
    max: int | float | None = None
    mu: float | None = None
    sigma: float | None = Field(default=None, gt=0)
    step: int | float | None = Field(default=None, gt=0)
    distribution: DistributionName | None = None
    when: dict[str, Any] = Field(default_factory=dict)
    zip: str | None = None

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        shape = self._shape()
        fitting = _FITTING[shape]
        if self.distribution is not None and self.distribution not in fitting:
            raise ValueError(
                f"distribution {self.distribution!r} does not go with {shape}; here: {', '.join(fitting)}"
            )
        if shape in ("value", "values"):
            if not _is_finite([self.value, self.values]):
                raise ValueError("a value that is no number cannot be trained with")
            if self.step is not None:
                raise ValueError("`step` goes with a range, not with listed values")
            self._check_distinct()
        else:
            self._check_bounds()
        if self.zip is not None and (shape != "values" or self.when):
            raise ValueError("`zip` goes with `values` alone; `when` stands at the parameter it moves with")
        return self

    def _shape(self) -> str:
        has_bounds = self.min is not None or self.max is not None
        has_moments = self.mu is not None or self.sigma is not None
        shapes = [
            *(["value"] if "value" in self.model_fields_set else []),
            *(["values"] if self.values is not None else []),
            *(["mu and sigma"] if has_moments else ["min and max"] if has_bounds else []),
        ]
        if len(shapes) != 1:
            raise ValueError(
                "write exactly one of: `value`, `values`, `min` with `max`, or `mu` with `sigma`"
            )
        return shapes[0]

    def _check_distinct(self) -> None:
        seen: list[Any] = []
        for value in self.values or []:
            if any(same(value, other) for other in seen):
                raise ValueError(f"{value!r} stands twice in `values`")
            seen.append(value)

    def _check_bounds(self) -> None:
        if (self.mu is None) != (self.sigma is None):
            raise ValueError("`mu` and `sigma` go together")
        if (self.min is None) != (self.max is None) and self.mu is None:
            raise ValueError("`min` and `max` go together")
        low, high = self.min, self.max
        if low is not None and high is not None and low >= high:
            raise ValueError(f"min {low} must be below max {high}")
        if self.kind in (*_LOG_KINDS, "log_normal"):
            for name, bound in (("min", low), ("max", high)):
                if bound is not None and bound <= 0:
                    raise ValueError(f"{self.kind} needs {name} above 0, not {bound}")
        if self.kind in INTEGER_KINDS:
            for name, bound in (("min", low), ("max", high), ("step", self.step)):
                if bound is not None and not float(bound).is_integer():
                    raise ValueError(f"{self.kind} needs a whole {name}, not {bound}")
        if self.step is not None and low is not None and high is not None and self.step > high - low:
            raise ValueError(f"step {self.step} is larger than the range from {low} to {high}")
        if self.mu is not None and self.sigma is not None:
            self._check_tails(self.mu, self.sigma)
        if self.step is not None and self._farthest / self.step > _MOST_STEPS:
            raise ValueError(f"step {self.step} is too small for the range")
        if self.bounds[0] > self.bounds[1]:
            raise ValueError(f"no multiple of step {self.step} lies between {low} and {high}")

    @property
    def _farthest(self) -> float:
        """How far from 0 a value can lie."""
        tail = abs(self.mu or 0.0) + _FAR * (self.sigma or 0.0)
        tail = math.exp(min(tail, _LARGEST_LOG)) if self.kind == "log_normal" else tail
        return max(abs(self.min or 0), abs(self.max or 0), tail if self.mu is not None else 0.0)

    def _check_tails(self, mu: float, sigma: float) -> None:
        is_log = self.kind == "log_normal"
        if is_log and mu + _FAR * sigma > _LARGEST_LOG:
            raise ValueError("mu and sigma are those of the natural logarithm: these reach beyond any number")
        low, high = (
            math.log(bound) if is_log and bound is not None else bound for bound in (self.min, self.max)
        )
        if (low is not None and low > mu + _FAR * sigma) or (high is not None and high < mu - _FAR * sigma):
            raise ValueError(f"min and max leave nothing of a {self.kind} distribution")

    @property
    def kind(self) -> DistributionName:
        """The distribution, inferred where it was not written."""
        if self.distribution is not None:
            return self.distribution
        if self.values is not None:
            return "categorical"
        if self.mu is not None:
            return "normal"
        if self.min is None:
            return "constant"
        whole = isinstance(self.min, int) and isinstance(self.max, int)
        return "int_uniform" if whole and isinstance(self.step or 0, int) else "uniform"

    @property
    def is_range(self) -> bool:
        """Whether it gives numbers between bounds, not listed values."""
        return self.values is None and self.kind != "constant"

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value that can be drawn, infinite where it is open: the multiples of
        `step` that lie inside of `min` and `max`."""
        low = -math.inf if self.min is None else self.min
        high = math.inf if self.max is None else self.max
        if self.step is None:
            return low, high
        if self.kind in ("uniform", "int_uniform"):
            return low, self.tidy(low + math.floor((high - low) / self.step + 1e-9) * self.step)
        if self.kind == "log_normal" and math.isinf(low):
            low = self.step  # 0 is no value of its
        lowest = low if math.isinf(low) else math.ceil(low / self.step - 1e-9) * self.step
        highest = high if math.isinf(high) else math.floor(high / self.step + 1e-9) * self.step
        return self.tidy(lowest), self.tidy(highest)

    def tidy(self, value: float) -> float:
        """A multiple of the step without the noise of its last digits."""
        if self.step is None or not math.isfinite(value):
            return value
        return round(value, max(0, 12 - math.floor(math.log10(self.step))))

    def canonical(self, value: Any) -> Any:
        """A value that the distribution contains, as it would give it: the choice itself, 6 and not 6.0."""
        if not self.is_range:
            return next(choice for choice in self.choices or [] if same(value, choice))
        return int(value) if self.kind in INTEGER_KINDS else float(value)

    def contains(self, value: Any) -> bool:
        """Whether the distribution can give this value."""
        if self.values is not None or self.kind == "constant":
            return any(same(value, choice) for choice in self.choices or [])
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return False
        if self.kind in INTEGER_KINDS and not float(value).is_integer():
            return False
        if self.step is not None:
            origin = self.min if self.kind in ("uniform", "int_uniform") and self.min is not None else 0
            steps = (value - origin) / self.step
            if abs(steps - round(steps)) > 1e-6:
                return False
        is_possible = value > 0 or self.kind != "log_normal"
        return is_possible and self.bounds[0] <= value <= self.bounds[1]

    @property
    def choices(self) -> list[Any] | None:
        """All values in order where they can be listed, None for a range.

        Whole numbers and steps between bounds can be listed.
        """
        if self.kind == "constant":
            return [self.value]
        if self.values is not None:
            return list(self.values)
        low, high = self.bounds
        step = self.step or (1 if self.kind in INTEGER_KINDS else 0)
        span = (high - low) / step if step else math.inf
        if span > _MOST_GRID_VALUES:
            return None
        count = math.floor(span + 1e-9) + 1
        return [self.canonical(self.tidy(low + index * step)) for index in range(count)]

    @property
    def examples(self) -> list[Any]:
        """Values at the ends of what the distribution can give, to check that the spec takes them."""
        if self.values is not None or self.kind == "constant":
            return self.choices or []
        low, high = self.bounds
        ends = [bound for bound in (low, high) if math.isfinite(bound)]
        return [self.canonical(value) for value in (*ends, self._between)]

    @property
    def _between(self) -> float:
        """A value from the middle of the range."""
        low, high = self.bounds
        if self.step is not None and math.isfinite(low):
            return self.tidy(min(low + self.step, high))
        if self.mu is not None:
            centre = math.exp(self.mu) if self.kind == "log_normal" else self.mu
            return min(max(centre, low), high)
        is_log = self.kind in _LOG_KINDS
        return math.sqrt(low) * math.sqrt(high) if is_log else low + 0.4321 * (high - low)


def same(value: Any, other: Any) -> bool:
    """Equality that keeps `true` and 1 apart."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _is_finite(value: Any) -> bool:
    """Whether nested data holds neither NaN nor infinity."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
