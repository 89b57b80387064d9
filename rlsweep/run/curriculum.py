"""Where a trial stands in its curriculum, and when it enters another phase. Pure: rows in, a phase out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rlsweep.spec.curriculum import CurriculumSpec, UntilSpec
from rlsweep.spec.human_scores import human_normalized
from rlsweep.store import rows

_WINDOW_STATISTICS: dict[str, Callable[[list[float]], Any]] = {
    rows.SCORE: np.mean,
    rows.SCORE_STD: np.std,
    rows.SCORE_MIN: np.min,
    rows.SCORE_MAX: np.max,
    rows.SCORE_MEDIAN: np.median,
}
OF_A_WINDOW = (*_WINDOW_STATISTICS, rows.HUMAN_NORMALIZED)
"""Row keys that a condition takes from the phase's own games."""


@dataclass
class PhaseProgress:
    """The phase that a trial is in; saved in its checkpoints.

    Attributes:
        index: in `curriculum.phases`.
        entry: phases entered before; games are noted with it.
        since_env_steps: env steps of the trial when the phase was entered.
        scores: of the whole games that began and ended in it, the last `curriculum.window`, oldest first.
        games: how many there were in all.
        evaluated_env_steps: env steps of the trial at its last evaluation; -1 before the first.
        held_since, low_since: env steps of the trial since when `until` holds, and since when the score is
            below that of `demote`; None while it is not so.
    """

    index: int = 0
    entry: int = 0
    since_env_steps: int = 0
    scores: list[float] = field(default_factory=list)
    games: int = 0
    evaluated_env_steps: int = -1
    held_since: int | None = None
    low_since: int | None = None

    def add_games(self, scores: Iterable[float], entries: Iterable[float], window: int) -> None:
        """Note games in the order of their ends; those that began in another phase do not count."""
        own = [score for score, entry in zip(scores, entries, strict=True) if entry == self.entry]
        self.games += len(own)
        self.scores = (self.scores + own)[-window:]

    def enter(self, index: int, env_steps: int) -> None:
        """Begin a phase: the window and the clocks start afresh."""
        self.index, self.entry, self.since_env_steps = index, self.entry + 1, env_steps
        self.scores, self.games, self.held_since, self.low_since = [], 0, None, None


def phase_row(curriculum: CurriculumSpec, progress: PhaseProgress, env_steps: int) -> dict[str, Any]:
    """The `curriculum/…` keys of a row.

    Args:
        curriculum: of the sweep.
        progress: the phase that the row's iteration was trained in.
        env_steps: of the trial.
    """
    return {
        rows.PHASE: progress.index,
        rows.PHASE_NAME: curriculum.phases[progress.index].name,
        rows.PHASE_SCORE: _window_value(rows.SCORE, progress.scores),
        rows.PHASE_GAMES: progress.games,
        rows.PHASE_ENV_STEPS: env_steps - progress.since_env_steps,
    }


def first_phase(curriculum: CurriculumSpec) -> int:
    """The index of the phase that a trial begins in."""
    return 0 if curriculum.schedule is None else curriculum.scheduled(0)


def next_phase(
    curriculum: CurriculumSpec,
    progress: PhaseProgress,
    row: Mapping[str, Any],
    env_steps: int,
    env_id: str = "",
) -> int:
    """The index of the phase that the trial is in from the next iteration on.

    Notes in `progress` since when its conditions hold.

    Args:
        curriculum: of the sweep.
        progress: the phase of the last iteration.
        row: that iteration's.
        env_steps: of the trial.
        env_id: of the phase's environment, for a condition on `human_normalized`.
    """
    if curriculum.schedule is not None:
        return curriculum.scheduled(env_steps)
    until, demote = curriculum.phases[progress.index].until, curriculum.demote
    if until is not None:
        holds = _holds(until, progress, row, env_steps, env_id)
        progress.held_since = _since(progress.held_since, holds, env_steps)
        if _has_lasted(progress.held_since, env_steps, until.hold or 0):
            return progress.index + 1
    if demote is not None and progress.index > 0:
        scores = progress.scores[-demote.games :]
        is_low = len(scores) == demote.games and float(np.mean(scores)) < demote.below
        progress.low_since = _since(progress.low_since, is_low, env_steps)
        if _has_lasted(progress.low_since, env_steps, demote.hold):
            return progress.index - 1
    return progress.index


def _holds(
    until: UntilSpec, progress: PhaseProgress, row: Mapping[str, Any], env_steps: int, env_id: str
) -> bool:
    """Whether all that a condition asks for is so now."""
    if until.env_steps is not None and env_steps - progress.since_env_steps < until.env_steps:
        return False
    asks_for_evaluation = any(key.startswith(rows.EVALUATION_PREFIX) for key in until.bounds)
    if asks_for_evaluation and progress.evaluated_env_steps <= progress.since_env_steps:
        return False  # the last one was of the phase before
    asks_for_scores = any(key in OF_A_WINDOW for key in until.bounds)
    if (until.games or asks_for_scores) and len(progress.scores) < until.window:
        return False
    scores = progress.scores[-until.window :]
    values = {key: _window_value(key, scores) for key in _WINDOW_STATISTICS}
    if rows.HUMAN_NORMALIZED in until.bounds:
        values[rows.HUMAN_NORMALIZED] = human_normalized(env_id, values[rows.SCORE])
    return all(
        bound.holds(float(values[key] if key in values else row[key])) for key, bound in until.bounds.items()
    )


def _window_value(key: str, scores: list[float]) -> float:
    return float(_WINDOW_STATISTICS[key](scores)) if scores else math.nan


def _since(before: int | None, holds: bool, env_steps: int) -> int | None:
    if not holds:
        return None
    return env_steps if before is None else before


def _has_lasted(since: int | None, env_steps: int, hold: int) -> bool:
    return since is not None and env_steps - since >= hold
