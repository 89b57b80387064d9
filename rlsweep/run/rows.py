"""RLlib's nested result -> one flat row with the same keys from the first iteration on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from callbacks.worker.game_scores import GAME_ENV_STEPS, GAME_SCORES
from rlsweep.spec import Algorithm
from rlsweep.store import rows


@dataclass
class Progress:
    """What a trial has done so far; saved in its checkpoints.

    Attributes:
        env_steps: agent decisions.
        seconds: training seconds.
        games: whole games ended.
        window_scores, window_env_steps: of the last SCORE_WINDOW games, oldest first.
        evaluation: the last evaluation's row keys and values.
    """

    env_steps: int = 0
    seconds: float = 0.0
    games: int = 0
    window_scores: deque[float] = field(default_factory=lambda: deque(maxlen=rows.SCORE_WINDOW))
    window_env_steps: deque[float] = field(default_factory=lambda: deque(maxlen=rows.SCORE_WINDOW))
    evaluation: dict[str, float] = field(default_factory=lambda: evaluation_row([]))

    def add_games(self, scores: Iterable[float], env_steps: Iterable[float]) -> None:
        """Note games that ended, in the order of their ends."""
        scores = list(scores)
        self.games += len(scores)
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
        progress = cls(**{name: data[name] for name in ("env_steps", "seconds", "games", "evaluation")})
        progress.window_scores.extend(data["window_scores"])
        progress.window_env_steps.extend(data["window_env_steps"])
        return progress


def update(progress: Progress, result: Mapping[str, Any], seconds: float) -> None:
    """Take an RLlib result's games and counters into `progress`; `seconds` is what it took."""
    runners = result.get("env_runners", {})
    progress.add_games(_items(runners.get(GAME_SCORES)), _items(runners.get(GAME_ENV_STEPS)))
    progress.env_steps = int(runners.get("num_env_steps_sampled_lifetime", progress.env_steps))
    progress.seconds += seconds


def result_row(
    algorithm: Algorithm,
    progress: Progress,
    result: Mapping[str, Any],
    *,
    parallel_games: int,
    frames_per_env_step: int,
    new_env_steps: int,
    seconds: float,
) -> dict[str, float | int | bool]:
    """The row of one iteration (its keys are described in `rlsweep.store.rows`).

    Args:
        algorithm: decides on the `learner/…` keys.
        progress: after this iteration.
        result: RLlib's.
        parallel_games: environments stepped together, over all env runners.
        frames_per_env_step: emulator frames in one env step.
        new_env_steps: env steps of this iteration.
        seconds: of this iteration.
    """
    scores = np.array(progress.window_scores)
    learner = result.get("learners", {}).get("default_policy", {})
    timers = result.get("timers", {})
    return {
        rows.SCORE: _statistic(np.mean, scores),
        rows.SCORE_VALID: progress.games >= parallel_games,
        rows.SCORE_STD: _statistic(np.std, scores),
        rows.SCORE_MIN: _statistic(np.min, scores),
        rows.SCORE_MAX: _statistic(np.max, scores),
        rows.GAMES: progress.games,
        rows.GAME_ENV_STEPS: _statistic(np.mean, np.array(progress.window_env_steps)),
        rows.ENV_STEPS: progress.env_steps,
        rows.FRAMES: progress.env_steps * frames_per_env_step,
        rows.STEPS_PER_SECOND: new_env_steps / seconds if seconds > 0 else math.nan,
        rows.SECONDS: progress.seconds,
        **progress.evaluation,
        **{
            rows.LEARNER_PREFIX + key: _number(learner.get(name))
            for key, name in rows.LEARNER_METRICS[algorithm].items()
        },
        **{rows.TIMERS_PREFIX + key: _number(timers.get(name)) for key, name in rows.TIMERS.items()},
    }


def evaluation_row(scores: list[float]) -> dict[str, float]:
    """The `evaluation/…` keys for the games of one evaluation, NaN for none."""
    values = np.array(scores)
    return {
        rows.EVALUATION_SCORE: _statistic(np.mean, values),
        rows.EVALUATION_SCORE_STD: _statistic(np.std, values),
        rows.EVALUATION_GAMES: len(scores),
    }


def _items(value: Any) -> list[float]:
    return [] if value is None else [float(item) for item in np.ravel(value)]


def _statistic(function: Any, values: np.ndarray) -> float:
    return float(function(values)) if len(values) else math.nan


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
