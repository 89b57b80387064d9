"""RLlib's nested result -> one flat row with the same keys from the first iteration on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from callbacks.worker.game_scores import GAME_ENV_STEPS, GAME_LIVES_LOST, GAME_PHASE_ENTRIES, GAME_SCORES
from rlsweep.run.curriculum import PhaseProgress, phase_row
from rlsweep.spec import EnvSpec, ObjectiveSpec, Sweep
from rlsweep.spec.human_scores import human_normalized
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
        return _statistic(np.mean, np.array(self.window_scores))


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
    progress.env_steps = int(runners.get("num_env_steps_sampled_lifetime", before))
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
    losses = [_number(learner[name]) for name in rows.LOSSES if name in learner]
    has_bad_score = progress.games > 0 and not math.isfinite(progress.score)
    return has_bad_score or any(not math.isfinite(loss) for loss in losses)


def result_row(
    sweep: Sweep,
    progress: Progress,
    result: Mapping[str, Any],
    *,
    parallel_games: int,
    new_env_steps: int,
    seconds: float,
) -> dict[str, float | int | bool | str]:
    """The row of one iteration (its keys are described in `rlsweep.store.rows`).

    Args:
        sweep: of the trial.
        progress: after this iteration.
        result: RLlib's.
        parallel_games: environments stepped together, over all env runners.
        new_env_steps: env steps of this iteration.
        seconds: of this iteration.
    """
    thresholds = [objective.key for objective in sweep.objective if objective.threshold is not None]
    learner = result.get("learners", {}).get("default_policy", {})
    timers = result.get("timers", {})
    return {
        rows.SCORE: progress.score,
        rows.SCORE_VALID: progress.games >= parallel_games,
        **_game_row(progress, sweep.env_in_phase(progress.phase.index)),
        **{key: progress.reached.get(key, math.nan) for key in thresholds},
        rows.ENV_STEPS: progress.env_steps,
        rows.FRAMES: progress.frames,
        rows.STEPS_PER_SECOND: new_env_steps / seconds if seconds > 0 else math.nan,
        rows.SECONDS: progress.seconds,
        **progress.evaluation,
        **(phase_row(sweep.curriculum, progress.phase, progress.env_steps) if sweep.curriculum else {}),
        **{
            rows.LEARNER_PREFIX + key: _number(learner.get(name))
            for key, name in rows.LEARNER_METRICS[sweep.algorithm].items()
        },
        **{rows.TIMERS_PREFIX + key: _number(timers.get(name)) for key, name in rows.TIMERS.items()},
    }


def _game_row(progress: Progress, env: EnvSpec) -> dict[str, float | int]:
    """What the whole games say, beside their mean score."""
    scores = np.array(progress.window_scores)
    env_steps = _statistic(np.mean, np.array(progress.window_env_steps))
    return {
        rows.SCORE_STD: _statistic(np.std, scores),
        rows.SCORE_MIN: _statistic(np.min, scores),
        rows.SCORE_MAX: _statistic(np.max, scores),
        rows.SCORE_MEDIAN: _statistic(np.median, scores),
        rows.SCORE_BEST: progress.best_game if progress.games else math.nan,
        rows.AUC: progress.score_area / progress.env_steps if progress.score_area else math.nan,
        rows.HUMAN_NORMALIZED: _human_normalized(env.id, progress.score),
        rows.GAMES: progress.games,
        rows.GAME_ENV_STEPS: env_steps,
        rows.GAME_FRAMES: env_steps * env.frames_per_env_step,
        rows.LIVES_LOST: _statistic(np.mean, np.array(progress.window_lives_lost)),
    }


def evaluation_row(scores: list[float]) -> dict[str, float]:
    """The `evaluation/…` keys for the games of one evaluation, NaN for none."""
    values = np.array(scores)
    return {
        rows.EVALUATION_SCORE: _statistic(np.mean, values),
        rows.EVALUATION_SCORE_STD: _statistic(np.std, values),
        rows.EVALUATION_GAMES: len(scores),
    }


def _human_normalized(env_id: str, score: float) -> float:
    try:
        return human_normalized(env_id, score)
    except KeyError:
        return math.nan


def _items(value: Any) -> list[float]:
    return [] if value is None else [float(item) for item in np.ravel(value)]


def _statistic(function: Any, values: np.ndarray) -> float:
    return float(function(values)) if len(values) else math.nan


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
