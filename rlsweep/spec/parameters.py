"""`search.parameters`: what a swept value ranges over, in the shape of W&B sweeps."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from rlsweep.spec.model import SpecModel

DistributionName = Literal["constant", "categorical", "uniform", "log_uniform", "int_uniform"]


class Distribution(SpecModel):
    """The range of one swept value.

    Attributes:
        value: one constant.
        values: choices, each as likely as the next. A choice may be a list or a mapping.
        min, max: real bounds, both inclusive for whole numbers; never exponents.
        distribution: inferred as W&B does: `value` constant, `values` categorical, whole bounds
            `int_uniform`, other bounds `uniform`.
    """

    value: Any = None
    values: list[Any] | None = Field(default=None, min_length=1)
    min: int | float | None = None
    max: int | float | None = None
    distribution: DistributionName | None = None

    @model_validator(mode="after")
    def _one_shape(self) -> Distribution:
        shapes = [
            "value" in self.model_fields_set,
            self.values is not None,
            self.min is not None or self.max is not None,
        ]
        if sum(shapes) != 1:
            raise ValueError("write exactly one of: `value`, `values`, or `min` with `max`")
        if shapes[2]:
            self._check_bounds()
        self._check_distinct()
        allowed = {
            0: {"constant"},
            1: {"categorical"},
            2: {"uniform", "log_uniform", "int_uniform"},
        }[shapes.index(True)]
        if self.distribution is not None and self.distribution not in allowed:
            raise ValueError(
                f"distribution {self.distribution!r} does not fit; here: {', '.join(sorted(allowed))}"
            )
        return self

    def _check_distinct(self) -> None:
        seen: list[Any] = []
        for value in self.values or []:
            if any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in seen):
                raise ValueError(f"{value!r} stands twice in `values`")
            seen.append(value)

    def _check_bounds(self) -> None:
        low, high = self.min, self.max
        if low is None or high is None:
            raise ValueError("`min` and `max` go together")
        if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
            raise ValueError(f"min {low} must be a finite number below max {high}")
        if self.distribution == "log_uniform" and low <= 0:
            raise ValueError(f"log_uniform needs min above 0, not {low}")
        if self.distribution == "int_uniform" and not (float(low).is_integer() and float(high).is_integer()):
            raise ValueError(f"int_uniform needs whole bounds, not {low} and {high}")

    @property
    def kind(self) -> DistributionName:
        """The distribution, inferred where it was not written."""
        if self.distribution is not None:
            return self.distribution
        if self.values is not None:
            return "categorical"
        if self.min is None:
            return "constant"
        whole = isinstance(self.min, int) and isinstance(self.max, int)
        return "int_uniform" if whole else "uniform"

    @property
    def choices(self) -> list[Any] | None:
        """All values in order where they can be listed, None for a range."""
        if self.kind == "constant":
            return [self.value]
        if self.kind == "categorical":
            return list(self.values or [])
        return None

    @property
    def examples(self) -> list[Any]:
        """Values that the distribution can give, to check that the spec takes them."""
        if self.values is not None or self.min is None:
            return self.choices or []
        return [self.min, self.max]
