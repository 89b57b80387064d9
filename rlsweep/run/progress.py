"""What a trial has done so far, as its checkpoints keep it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from callbacks.worker.game_scores import GAME_ENV_STEPS, GAME_LIVES_LOST, GAME_PHASE_ENTRIES, GAME_SCORES
from rlsweep.run.curriculum import PhaseProgress
from rlsweep.spec import ObjectiveSpec, Sweep
from rlsweep.store import rows


@dataclass
class Progress:
    """What a trial has done so far; saved in its checkpoints.

    Attributes:
        env_steps: agent decisions.
        frames: emulator frames; their number in an env step may differ from phase to phase.
        seconds: training seconds.
        wall_seconds: the same with evaluations.
        iterations: rows.
        games: whole games ended.
        score_area: integral of the score over env steps.
        best_score, best_env_steps: the best valid score and when it was reached.
        nan_rows: rows in succession whose loss or score is no number.
        env_runner_restarts: env runners that died or raised, and came back.
        reached: keys of `env_steps_to/…` and `seconds_to/…` whose score was reached, and their values.
        best_game: the best game's score.
        window_scores, window_env_steps, window_lives_lost: of the last SCORE_WINDOW games, oldest first.
        evaluation: the last evaluation's row keys and values.
        phase: where it stands in the curriculum; the first phase without one.
    """

    env_steps: int = 0
    frames: int = 0
    seconds: float = 0.0
    wall_seconds: float = 0.0
    iterations: int = 0
    games: int = 0
    score_area: float = 0.0
    best_score: float = -math.inf
    best_env_steps: int = 0
    best_game: float = -math.inf
    nan_rows: int = 0
    env_runner_restarts: int = 0
    reached: dict[str, float] = field(default_factory=dict)
    window_scores: deque[float] = field(default_factory=lambda: deque(maxlen=rows.SCORE_WINDOW))
    window_env_steps: deque[float] = field(default_factory=lambda: deque(maxlen=rows.SCORE_WINDOW))
    window_lives_lost: deque[float] = field(default_factory=lambda: deque(maxlen=rows.SCORE_WINDOW))
    evaluation: dict[str, float] = field(default_factory=lambda: evaluation_row([]))
    phase: PhaseProgress = field(default_factory=PhaseProgress)

    def add_games(
        self, scores: Sequence[float], env_steps: Iterable[float], lives_lost: Iterable[float]
    ) -> None:
        """Note games that ended, in the order of their ends."""
        self.games += len(scores)
        self.best_game = max([self.best_game, *scores])
        self.window_lives_lost.extend(lives_lost)
        self.window_scores.extend(scores)
        self.window_env_steps.extend(env_steps)

    def enter_phase(self, index: int) -> None:
        """Begin another phase of the curriculum; what was the best in an easier one says nothing there."""
        self.phase.enter(index, self.env_steps)
        self.best_score, self.best_env_steps = -math.inf, 0

    def to_json(self) -> dict[str, Any]:
        """Plain values; `Progress.from_json` reads them back."""
        return {
            name: list(value) if isinstance(value, deque) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Progress:
        """The inverse of `to_json`."""
        windows = ("window_scores", "window_env_steps", "window_lives_lost")
        progress = cls(**{name: value for name, value in data.items() if name not in (*windows, "phase")})
        progress.phase = PhaseProgress(**data["phase"])
        for window in windows:
            getattr(progress, window).extend(data[window])
        return progress

    @property
    def score(self) -> float:
        """Mean of the window; NaN before a game has ended."""
        return statistic(np.mean, np.array(self.window_scores))


def update(
    progress: Progress, sweep: Sweep, result: Mapping[str, Any], seconds: float, parallel_games: int
) -> None:
    """Take an RLlib result into `progress`.

    Args:
        progress: of the rows before.
        sweep: of the trial.
        result: RLlib's of this iteration.
        seconds: that the iteration took.
        parallel_games: environments stepped together; so many games make a score valid.
    """
    runners = result.get("env_runners", {})
    before = progress.env_steps
    scores = _items(runners.get(GAME_SCORES))
    progress.add_games(scores, _items(runners.get(GAME_ENV_STEPS)), _items(runners.get(GAME_LIVES_LOST)))
    if sweep.curriculum is not None:
        entries = _items(runners.get(GAME_PHASE_ENTRIES))
        progress.phase.add_games(scores, entries, sweep.curriculum.window)
    progress.env_steps = env_steps_after(result, progress)
    frames_per_env_step = sweep.env_in_phase(progress.phase.index).frames_per_env_step
    progress.frames += (progress.env_steps - before) * frames_per_env_step
    progress.seconds += seconds
    progress.wall_seconds += seconds
    progress.iterations += 1
    score = progress.score
    if math.isfinite(score):
        steps = progress.env_steps - (before if progress.score_area else 0)
        progress.score_area += score * steps
    if progress.games >= parallel_games and score > progress.best_score:
        progress.best_score, progress.best_env_steps = score, progress.env_steps
    progress.nan_rows = progress.nan_rows + 1 if _is_diverging(progress, result) else 0


def env_steps_after(result: Mapping[str, Any], progress: Progress) -> int:
    """Env steps of a trial after an iteration of RLlib; those of before where it says nothing."""
    return int(result.get("env_runners", {}).get("num_env_steps_sampled_lifetime", progress.env_steps))


def note_reached(progress: Progress, objectives: Sequence[ObjectiveSpec], parallel_games: int) -> None:
    """Note the objectives whose score has been reached for the first time."""
    for objective in objectives:
        if objective.threshold is None or objective.key in progress.reached:
            continue
        if progress.games >= parallel_games and progress.score >= objective.threshold:
            is_env_steps = objective.env_steps_to is not None
            progress.reached[objective.key] = float(progress.env_steps if is_env_steps else progress.seconds)


def _is_diverging(progress: Progress, result: Mapping[str, Any]) -> bool:
    """A loss that is there and no number, or a score of games that have ended which is none."""
    learner = result.get("learners", {}).get("default_policy", {})
    losses = [number(learner[name]) for name in rows.LOSSES if name in learner]
    has_bad_score = progress.games > 0 and not math.isfinite(progress.score)
    return has_bad_score or any(not math.isfinite(loss) for loss in losses)


def evaluation_row(scores: list[float]) -> dict[str, float]:
    """The `evaluation/…` keys for the games of one evaluation, NaN for none."""
    values = np.array(scores)
    return {
        rows.EVALUATION_SCORE: statistic(np.mean, values),
        rows.EVALUATION_SCORE_STD: statistic(np.std, values),
        rows.EVALUATION_GAMES: len(scores),
    }


def _items(value: Any) -> list[float]:
    return [] if value is None else [float(item) for item in np.ravel(value)]


def statistic(function: Any, values: np.ndarray) -> float:
    """A function of an array; NaN of an empty one."""
    return float(function(values)) if len(values) else math.nan


def number(value: Any) -> float:
    """A value of RLlib's result as a number; NaN where it is none, or not there."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
