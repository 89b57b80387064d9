"""Learning curves as arrays: what the figures draw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.history import RunHistory
from analysis.trial_results import is_valid
from rlsweep.store.manifest import DIVERGED, FAILED
from rlsweep.store.rows import ENV_STEPS, PHASE

GRID_POINTS = 400
MAX_CURVES = 10
"""More curves in one figure cannot be told apart; the best ones are drawn."""


@dataclass(frozen=True)
class LearningCurve:
    """One configuration's metric over env steps.

    Attributes:
        config_id: readable name.
        env_steps: (points,), common to all seeds, up to where the longest of them reaches.
        seeds: (seeds, points), the value that each seed had at that number of env steps; NaN before its
            first valid row and after its last one.
        phases: (seeds, points), index of the curriculum's phase that each seed was in; no rows without one.
    """

    config_id: str
    env_steps: np.ndarray
    seeds: np.ndarray
    phases: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(points,) over the seeds; NaN where one is missing, for the mean of the rest would jump there."""
        return np.asarray(self.seeds.mean(axis=0))


def learning_curves(run: RunHistory, config_ids: Sequence[str]) -> list[LearningCurve]:
    """The curves of those of these configurations that have a valid value, in their order.

    Over the seeds that they are judged by: one that crashed or diverged has no result, and no curve.
    """
    groups: dict[str, list[pd.DataFrame]] = defaultdict(list)
    key = run.objective.on_the_way.key
    for trial in run.judged_trials():
        rows = trial.rows
        if trial.record.config_id not in config_ids or trial.status in (FAILED, DIVERGED):
            continue
        if key in rows and (shown := is_valid(rows, key)).any():
            groups[trial.record.config_id].append(rows[shown])
    return [_curve(config_id, key, groups[config_id]) for config_id in config_ids if config_id in groups]


def _curve(config_id: str, key: str, tables: list[pd.DataFrame]) -> LearningCurve:
    steps = [table[ENV_STEPS].to_numpy(float) for table in tables]
    grid = np.linspace(min(one[0] for one in steps), max(one[-1] for one in steps), GRID_POINTS)
    values = [
        np.interp(grid, one, table[key].to_numpy(float), left=np.nan, right=np.nan)
        for one, table in zip(steps, tables, strict=True)
    ]
    phases = [
        _last_known(grid, one, table[PHASE].to_numpy(float))
        for one, table in zip(steps, tables, strict=True)
        if PHASE in table
    ]
    return LearningCurve(config_id, grid, np.stack(values), np.array(phases).reshape(-1, GRID_POINTS))


def _last_known(grid: np.ndarray, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value of the row that a number of env steps lies in; NaN after the last one."""
    rows = np.searchsorted(steps, grid)
    return np.where(rows < len(steps), values[np.minimum(rows, len(steps) - 1)], np.nan)
