"""What each trial reached: the last values of its objectives that count, its length, its games."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.history import TrialHistory
from analysis.judgement import trial_values
from analysis.reading import last_row
from rlsweep.store.manifest import DIVERGED, FAILED, STOPPED, Objective
from rlsweep.store.rows import (
    AUC,
    ENV_STEPS,
    EVALUATION_GAMES,
    EVALUATION_PREFIX,
    GAMES,
    SCORE,
    SCORE_VALID,
    SCORE_WINDOW,
    SECONDS,
    WINDOW_SCORES,
)


@dataclass(frozen=True)
class TrialResult:
    """What one trial reached.

    Attributes:
        trial_id, config_id, seed, phase: as in the manifest.
        status: as in the manifest, or REACHED.
        game: that it plays, where its configuration plays several.
        score: of the row that its values stand in: unclipped, of whole games.
        is_short: the scheduler stopped it, or it did not get as far as the point where all are compared.
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
    is_short: bool = False
    game: str = ""
    score: float = math.nan

    @property
    def last(self) -> float:
        """The last valid value of the first objective."""
        return self.values[0]


def trial_result(trial: TrialHistory, objectives: Sequence[Objective]) -> TrialResult:
    """The last value of each objective that counts, and the best one of the first."""
    record, rows, status = trial.record, trial.rows, trial.status
    main, last = objectives[0], trial.last
    valid = np.flatnonzero(is_valid(rows, main.key)) if main.key in rows else np.array([], dtype=int)
    counting = last_row(rows.iloc[: valid[-1] + 1]) if valid.size else last
    best = math.nan
    if valid.size and status not in (FAILED, DIVERGED):
        values = rows[main.key].to_numpy(float)[valid]
        best = values.max() if main.maximize else values.min()
    return TrialResult(
        trial_id=record.id,
        config_id=record.config_id,
        seed=record.seed,
        status=status,
        phase=record.phase,
        values=trial_values(status, counting, objectives),
        best=float(best),
        env_steps=int(last.get(ENV_STEPS, 0)),
        seconds=float(last.get(SECONDS, math.nan)),
        games=_games(counting, main.on_the_way.key),
        auc=float(last[AUC]) if AUC in last else _area(rows, main.on_the_way.key),
        is_short=status == STOPPED or trial.reached is False,
        game=record.game,
        score=float(counting.get(SCORE, math.nan)),
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


def is_valid(rows: pd.DataFrame, metric: str) -> np.ndarray:
    """(rows,) whether the metric counts in each row: it is a number, and for the scores of training games,
    enough games have ended."""
    valid = np.isfinite(rows[metric].to_numpy(float))
    if metric in WINDOW_SCORES and SCORE_VALID in rows:
        flags = rows[SCORE_VALID].to_numpy()
        valid &= (
            flags if flags.dtype == bool else flags.astype(object) == np.True_
        )  # NaN where a row has none
    return np.asarray(valid)
