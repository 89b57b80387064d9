"""Which configuration won: one line per configuration, over its seeds.

A configuration's result is the mean (or what `over_seeds` says) over its seeds of each seed's last value, not
its best one: the best of a noisy curve is a number that luck made (Henderson et al. 2018; Agarwal et al.
2021).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.history import RunHistory, TrialHistory
from analysis.judgement import over_seeds, pareto_front, trial_values
from rlsweep.errors import RunError
from rlsweep.store.manifest import CONFIRM, DIVERGED, FAILED, FINISHED, STOPPED, Objective
from rlsweep.store.rows import (
    AUC,
    ENV_STEPS,
    EVALUATION_GAMES,
    EVALUATION_PREFIX,
    GAMES,
    SCORE_VALID,
    SCORE_WINDOW,
    SECONDS,
    WINDOW_SCORES,
)


@dataclass(frozen=True)
class TrialResult:
    """What one trial reached.

    Attributes:
        trial_id, config_id, seed, status, phase: as in the manifest.
        values: the last valid value of each objective; NaN where it has none.
        best: the best valid value of the first one.
        env_steps, seconds: at the last row.
        games: whole games behind the last value: those that its score is the mean of.
        auc: area under the learning curve over its length; NaN where rows have none.
    """

    trial_id: str
    config_id: str
    seed: int
    status: str
    phase: str
    values: tuple[float, ...]
    best: float
    env_steps: int
    seconds: float = math.nan
    games: int = 0
    auc: float = math.nan

    @property
    def last(self) -> float:
        """The last valid value of the first objective."""
        return self.values[0]


@dataclass(frozen=True)
class ConfigurationResult:
    """What one configuration reached over its seeds.

    Attributes:
        config_id: readable name.
        trials: one per seed, in the order of the seeds.
        values: of each objective, over the seeds as its `over_seeds` says, of the last values.
        last_std: standard deviation of the first objective's last values, the sample's (n - 1), NaN for one
            seed.
        best_mean: over seeds, of the best value.
        valid_seeds: seeds that have a value; the means are over these.
        is_complete: every seed ran to its own stop.
        on_front: no other configuration is better in one objective and as good in the rest.
    """

    config_id: str
    trials: tuple[TrialResult, ...]
    values: tuple[float, ...]
    last_std: float
    best_mean: float
    valid_seeds: int
    is_complete: bool
    on_front: bool = False

    @property
    def value(self) -> float:
        """Of the first objective."""
        return self.values[0]

    @property
    def was_stopped(self) -> bool:
        """Whether the scheduler stopped one of its trials."""
        return any(trial.status == STOPPED for trial in self.trials)

    @property
    def is_confirmed(self) -> bool:
        """Whether it was judged by seeds that the search had not seen."""
        return any(trial.phase == CONFIRM for trial in self.trials)

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


def trial_result(trial: TrialHistory, objectives: Sequence[Objective]) -> TrialResult:
    """The last value of each objective that counts, and the best one of the first."""
    record, rows = trial.record, trial.rows
    main = objectives[0]
    values = np.array([], dtype=float)
    if main.key in rows and record.status not in (FAILED, DIVERGED):
        values = rows[main.key].to_numpy(float)[is_valid(rows, main.key)]
    last = last_row(rows)
    best = (values.max() if main.maximize else values.min()) if values.size else math.nan
    return TrialResult(
        trial_id=record.id,
        config_id=record.config_id,
        seed=record.seed,
        status=record.status,
        phase=record.phase,
        values=trial_values(record.status, _last_counting_row(rows, main), objectives),
        best=float(best),
        env_steps=int(last.get(ENV_STEPS, 0)),
        seconds=float(last.get(SECONDS, math.nan)),
        games=_games(last, main.on_the_way.key),
        auc=float(last[AUC]) if AUC in last else _area(rows, main.on_the_way.key),
    )


def _area(rows: pd.DataFrame, key: str) -> float:
    """Mean of a key over env steps, by the trapezoidal rule, for rows that do not have it themselves."""
    if key not in rows:
        return math.nan
    known = rows[[ENV_STEPS, key]].dropna().to_numpy(float)
    steps, values = known.T if len(known) else np.empty((2, 0))
    length = np.ptp(steps) if len(steps) else 0.0
    return float(np.trapezoid(values, steps) / length) if length > 0 else math.nan


def _games(row: Mapping[str, Any], key: str) -> int:
    games = row.get(EVALUATION_GAMES, 0) if key.startswith(EVALUATION_PREFIX) else row.get(GAMES, 0)
    return int(min(games, SCORE_WINDOW)) if math.isfinite(games) else 0


def _last_counting_row(rows: pd.DataFrame, main: Objective) -> dict[str, Any]:
    """The last row in which the first objective counts; the last one where none does."""
    counting = rows[is_valid(rows, main.key)] if main.key in rows else rows
    return last_row(counting if len(counting) else rows)


def last_row(rows: pd.DataFrame) -> dict[str, Any]:
    """The last row by key; empty where there is none."""
    return {str(key): value for key, value in rows.iloc[-1].items()} if len(rows) else {}


def is_valid(rows: pd.DataFrame, metric: str) -> np.ndarray:
    """(rows,) whether the metric counts in each row: it is a number, and for the scores of training games,
    enough games have ended."""
    valid = np.isfinite(rows[metric].to_numpy(float))
    if metric in WINDOW_SCORES and SCORE_VALID in rows:
        valid &= rows[SCORE_VALID].to_numpy(bool)
    return np.asarray(valid)


def compare(run: RunHistory, phase: str = "") -> list[ConfigurationResult]:
    """All configurations, the best first.

    A configuration that was confirmed is judged by its confirming seeds alone, and ranks before those that
    were not. One that the scheduler stopped ranks behind: its values stand at fewer env steps. So does one
    with fewer seeds that have a value: the mean of one lucky seed is not comparable with the mean of three.
    With several objectives the Pareto front comes first.

    Args:
        run: what is compared.
        phase: judge by the trials of this phase only, `search` or `confirm`.
    """
    objectives = run.manifest.objectives
    groups: dict[str, list[TrialResult]] = defaultdict(list)
    for trial in run.judged_trials(phase):
        groups[trial.record.config_id].append(trial_result(trial, objectives))
    found = [summarize(config_id, trials, objectives) for config_id, trials in groups.items()]
    if len(objectives) > 1 and found:
        points = np.array([[math.nan] * len(objectives) if one.was_stopped else one.values for one in found])
        front = pareto_front(points, [objective.maximize for objective in objectives])
        found = [replace(one, on_front=bool(is_on)) for one, is_on in zip(found, front, strict=True)]
    sign = 1.0 if run.objective.maximize else -1.0
    return sorted(
        found,
        key=lambda one: (
            not one.is_confirmed,
            one.was_stopped,
            not one.on_front,
            -one.valid_seeds,
            -sign * one.value if one.valid_seeds else 0.0,
        ),
    )


def summarize(
    config_id: str, trials: list[TrialResult], objectives: Sequence[Objective]
) -> ConfigurationResult:
    """One configuration's trials, one per seed, as one value per objective and a spread. Seeds without a
    value are left out."""
    last = np.array([trial.last for trial in trials if math.isfinite(trial.last)])
    best = np.array([trial.best for trial in trials if math.isfinite(trial.best)])
    return ConfigurationResult(
        config_id=config_id,
        trials=tuple(sorted(trials, key=lambda trial: trial.seed)),
        values=tuple(
            over_seeds([trial.values[index] for trial in trials], objective)
            for index, objective in enumerate(objectives)
        ),
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
        key = run.objective.key
        raise RunError(f"{run.manifest.name}: no trial has a valid {key} yet (no game has ended, or too few)")
    return ranked[0]
