"""What one configuration is worth: a number for each objective, from the numbers of its seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.statistics import interquartile_mean
from rlsweep.store.manifest import DIVERGED, FAILED, Objective
from rlsweep.store.rows import ENV_STEPS, ENV_STEPS_TO, SCORE_VALID, SECONDS, WINDOW_SCORES

NEVER_REACHED_FACTOR = 2.0
"""A trial that never reached the score counts as if it had taken twice its whole length: PAR2, the penalized
average runtime of algorithm configuration (Hutter et al. 2009, ParamILS, there PAR10). A trial that was
stopped early is no faster for it."""


def trial_values(status: str, row: Mapping[str, Any], objectives: Sequence[Objective]) -> tuple[float, ...]:
    """The values of a trial's objectives from its last row that counts.

    NaN for all of them where it crashed or diverged: what it had before is no result.

    Args:
        status: as in the manifest.
        row: its last one; empty where it has none.
        objectives: of the sweep.
    """
    if status in (FAILED, DIVERGED) or not row:
        return tuple(math.nan for _ in objectives)
    return tuple(row_value(row, objective) for objective in objectives)


def row_value(row: Mapping[str, Any], objective: Objective) -> float:
    """The value of an objective in one row; NaN where it does not count yet.

    A score of training games counts once enough games have ended (`score_valid`); a score that was not
    reached counts as NEVER_REACHED_FACTOR times the env steps, or the seconds at the trial's own speed, of
    a whole trial.
    """
    value = float(row.get(objective.key, math.nan))
    if objective.threshold is not None and not math.isfinite(value):
        return _never_reached(row, objective)
    if objective.key in WINDOW_SCORES and not row.get(SCORE_VALID, True):
        return math.nan
    return value if math.isfinite(value) else math.nan


def _never_reached(row: Mapping[str, Any], objective: Objective) -> float:
    env_steps = float(row.get(ENV_STEPS, math.nan))
    length = max(objective.most_env_steps, env_steps)
    if objective.key.startswith(ENV_STEPS_TO):
        return NEVER_REACHED_FACTOR * length
    if env_steps == 0:
        return math.nan
    return NEVER_REACHED_FACTOR * float(row.get(SECONDS, math.nan)) * length / env_steps


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
            return float(interquartile_mean(found[:, None]))
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
