"""`search:` -> the configurations that are tried, in order."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from rlsweep.spec import Distribution, SearchSpec

Values = dict[str, Any]
"""Dotted path into the spec -> value: what sets one configuration apart."""

_DRAWS_PER_TRIAL = 100
"""A space with fewer distinct configurations than `trials` gives up after so many draws for each."""


def configurations(search: SearchSpec) -> list[Values]:
    """All configurations: the grid in the order it is written, or distinct random draws.

    The draws depend on `search.seed` alone and come one after the other, so that a larger `trials` adds
    to the same configurations. One empty configuration where nothing is swept.
    """
    if not search.parameters:
        return [{}]
    if search.method == "grid":
        choices = [distribution.choices or [] for distribution in search.parameters.values()]
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
    if distribution.kind == "uniform":
        return float(random.uniform(low, high))  # type: ignore[arg-type]
    if distribution.kind == "log_uniform":
        return float(np.exp(random.uniform(np.log(low), np.log(high))))  # type: ignore[arg-type]
    choices = distribution.choices or []
    return choices[int(random.integers(len(choices)))]
