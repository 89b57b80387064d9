"""`search:` -> the configurations that are tried, in order."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from rlsweep.errors import Issue, Location, SpecError
from rlsweep.spec import Distribution, SearchSpec
from rlsweep.spec.sweep import MAX_CONFIGURATIONS

Values = dict[str, Any]
"""Dotted path into the spec -> value: what sets one configuration apart."""

DRAWN_DIGITS = 4
"""Digits of a drawn value: what names, tables and MLflow show is then the value itself."""

_DRAWS_PER_TRIAL = 100
"""A space with fewer distinct configurations than `trials` gives up after so many draws for each."""


def configurations(search: SearchSpec) -> list[Values]:
    """All configurations: the grid in the order it is written, or distinct random draws.

    The draws depend on `search.seed` alone and come one after the other, so that a larger `trials` adds
    to the same configurations. One empty configuration where nothing is swept.

    Raises:
        SpecError: a grid of more than MAX_CONFIGURATIONS.
    """
    if not search.parameters:
        return [{}]
    if search.method == "grid":
        choices = [distribution.choices or [] for distribution in search.parameters.values()]
        if math.prod(len(values) for values in choices) > MAX_CONFIGURATIONS:
            raise SpecError(
                [Issue(Location("search"), f"the grid has more than {MAX_CONFIGURATIONS} configurations")]
            )
        return [dict(zip(search.parameters, row, strict=True)) for row in itertools.product(*choices)]
    wanted = search.trials or 1
    return list(itertools.islice(_distinct_draws(search, wanted), wanted))


def _distinct_draws(search: SearchSpec, wanted: int) -> Iterator[Values]:
    random = np.random.default_rng(search.seed)
    seen: set[str] = set()
    for _ in range(wanted * _DRAWS_PER_TRIAL):
        values = {path: draw(range_, random) for path, range_ in search.parameters.items()}
        key = json.dumps(values, sort_keys=True)
        if key not in seen:
            seen.add(key)
            yield values


def draw(distribution: Distribution, random: np.random.Generator) -> Any:
    """One value of a distribution."""
    low, high = distribution.min, distribution.max
    if low is None or high is None:
        choices = distribution.choices or []
        return choices[int(random.integers(len(choices)))]
    if distribution.kind == "int_uniform":
        return int(random.integers(int(low), int(high), endpoint=True))
    if distribution.kind == "log_uniform":
        drawn = float(np.exp(random.uniform(np.log(low), np.log(high))))
        return min(max(_rounded(drawn, drawn), float(low)), float(high))
    drawn = float(random.uniform(low, high))
    return min(max(_rounded(drawn, high - low), float(low)), float(high))


def _rounded(value: float, scale: float) -> float:
    """`value` to DRAWN_DIGITS significant digits of `scale`."""
    return round(value, DRAWN_DIGITS - 1 - math.floor(math.log10(abs(scale))))
