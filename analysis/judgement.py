"""What one configuration is worth: a number for each objective, from the numbers of its seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import trim_mean

from rlsweep.store.manifest import Objective
from rlsweep.store.rows import ENV_STEPS, ENV_STEPS_TO, SCORE_VALID, SECONDS, WINDOW_SCORES

NEVER_REACHED_FACTOR = 2.0
"""A trial that ends without having reached the score counts as if it had taken twice as long as it ran: PAR2,
the penalized average runtime of algorithm configuration (Hutter et al. 2009, ParamILS, there PAR10)."""


def row_value(row: Mapping[str, Any], objective: Objective) -> float:
    """The value of an objective in one row; NaN where it does not count yet.

    A score of training games counts once enough games have ended (`score_valid`); a score that was not
    reached in the last row counts as NEVER_REACHED_FACTOR times what the trial has taken.
    """
    value = float(row.get(objective.key, math.nan))
    if objective.threshold is not None and not math.isfinite(value):
        taken = ENV_STEPS if objective.key.startswith(ENV_STEPS_TO) else SECONDS
        return NEVER_REACHED_FACTOR * float(row.get(taken, math.nan))
    if objective.key in WINDOW_SCORES and not row.get(SCORE_VALID, True):
        return math.nan
    return value if math.isfinite(value) else math.nan


def over_seeds(values: Sequence[float], objective: Objective) -> float:
    """One number for a configuration; NaN where no seed has one.

    Args:
        values: (seeds,), NaN for a seed without a value, which is left out.
        objective: says how: mean, median, the worst one, or the interquartile mean (a quarter of the values
            cut off at each end; Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice").
    """
    found = np.sort([value for value in values if math.isfinite(value)])
    if not found.size:
        return math.nan
    match objective.over_seeds:
        case "median":
            return float(np.median(found))
        case "worst":
            return float(found[0] if objective.maximize else found[-1])
        case "iqm":
            return float(trim_mean(found, 0.25))
    return float(found.mean())


def pareto_front(points: np.ndarray, maximize: Sequence[bool]) -> np.ndarray:
    """(n,) whether no other of the (n, objectives) points is at least as good in all and better in one.

    A point with a NaN is never on the front.
    """
    gains = points * np.where(np.asarray(maximize), 1.0, -1.0)
    whole = np.isfinite(gains).all(axis=1)
    no_worse = (gains[None, :, :] >= gains[:, None, :]).all(axis=2)
    better = (gains[None, :, :] > gains[:, None, :]).any(axis=2)
    return np.asarray(whole & ~(no_worse & better & whole[None, :]).any(axis=1))
