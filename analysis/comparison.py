"""Which configuration won: one line per configuration, over its seeds.

A configuration's result is the mean over its seeds of each seed's last value, not its best one: the best
of a noisy curve is a number that luck made (Henderson et al. 2018; Agarwal et al. 2021).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.history import RunHistory, TrialHistory
from rlsweep.errors import RunError
from rlsweep.store.manifest import FINISHED
from rlsweep.store.rows import ENV_STEPS, SCORE_VALID, WINDOW_SCORES


@dataclass(frozen=True)
class TrialResult:
    """What one trial reached.

    Attributes:
        trial_id, config_id, seed, status: as in the manifest.
        last: the metric's last valid value; NaN where it has none.
        best: its best valid value.
        env_steps: at the last row.
    """

    trial_id: str
    config_id: str
    seed: int
    status: str
    last: float
    best: float
    env_steps: int


@dataclass(frozen=True)
class ConfigurationResult:
    """What one configuration reached over its seeds.

    Attributes:
        config_id: readable name.
        trials: one per seed, in the order of the seeds.
        last_mean, last_std: over seeds, of the last value; the standard deviation is the sample's
            (n - 1), NaN for one seed.
        best_mean: over seeds, of the best value.
        valid_seeds: seeds that have a value; the means are over these.
        is_complete: every seed ran to its own stop.
    """

    config_id: str
    trials: tuple[TrialResult, ...]
    last_mean: float
    last_std: float
    best_mean: float
    valid_seeds: int
    is_complete: bool

    @property
    def env_steps(self) -> int:
        """Env steps of the shortest trial: the comparison reaches no further."""
        return min(trial.env_steps for trial in self.trials)

    @property
    def seeds_text(self) -> str:
        """`3 seeds`, or `1 of 3 seeds` where some have no value."""
        total = len(self.trials)
        count = f"{total}" if self.valid_seeds == total else f"{self.valid_seeds} of {total}"
        return f"{count} seed{'' if total == 1 else 's'}"


def trial_result(trial: TrialHistory, metric: str, *, maximize: bool) -> TrialResult:
    """The last and the best valid value of a trial's metric."""
    record, rows = trial.record, trial.rows
    values = np.array([], dtype=float)
    if metric in rows:
        values = rows[metric].to_numpy(float)[is_valid(rows, metric)]
    best = (values.max() if maximize else values.min()) if values.size else math.nan
    return TrialResult(
        trial_id=record.id,
        config_id=record.config_id,
        seed=record.seed,
        status=record.status,
        last=float(values[-1]) if values.size else math.nan,
        best=float(best),
        env_steps=int(rows[ENV_STEPS].iloc[-1]) if len(rows) else 0,
    )


def is_valid(rows: pd.DataFrame, metric: str) -> np.ndarray:
    """(rows,) whether the metric counts in each row: it is a number, and for the scores of training games,
    enough games have ended."""
    valid = np.isfinite(rows[metric].to_numpy(float))
    if metric in WINDOW_SCORES and SCORE_VALID in rows:
        valid &= rows[SCORE_VALID].to_numpy(bool)
    return np.asarray(valid)


def compare(run: RunHistory) -> list[ConfigurationResult]:
    """All configurations, the best first. One with fewer seeds that have a value ranks behind: the mean of
    one lucky seed is not comparable with the mean of three."""
    groups: dict[str, list[TrialResult]] = defaultdict(list)
    for trial in run.trials:
        result = trial_result(trial, run.metric, maximize=run.maximize)
        groups[result.config_id].append(result)
    sign = 1.0 if run.maximize else -1.0
    return sorted(
        (summarize(config_id, results) for config_id, results in groups.items()),
        key=lambda found: (-found.valid_seeds, -sign * found.last_mean if found.valid_seeds else 0.0),
    )


def summarize(config_id: str, trials: list[TrialResult]) -> ConfigurationResult:
    """One configuration's trials, one per seed, as means and spread. Seeds without a value are left out."""
    last = np.array([trial.last for trial in trials if math.isfinite(trial.last)])
    best = np.array([trial.best for trial in trials if math.isfinite(trial.best)])
    return ConfigurationResult(
        config_id=config_id,
        trials=tuple(sorted(trials, key=lambda trial: trial.seed)),
        last_mean=float(last.mean()) if last.size else math.nan,
        last_std=float(last.std(ddof=1)) if last.size > 1 else math.nan,
        best_mean=float(best.mean()) if best.size else math.nan,
        valid_seeds=int(last.size),
        is_complete=all(trial.status == FINISHED for trial in trials),
    )


def winner(run: RunHistory) -> ConfigurationResult:
    """The best configuration.

    Raises:
        RunError: no trial has a valid value yet.
    """
    ranked = compare(run)
    if not ranked or not ranked[0].valid_seeds:
        raise RunError(
            f"{run.manifest.name}: no trial has a valid {run.metric} yet (no game has ended, or too few)"
        )
    return ranked[0]
