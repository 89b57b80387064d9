"""RLlib's nested result -> one flat row with the same keys from the first iteration on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rlsweep.run.curriculum import phase_row
from rlsweep.run.progress import Progress, number, statistic
from rlsweep.spec import EnvSpec, Sweep
from rlsweep.spec.human_scores import human_normalized_or_nan
from rlsweep.store import rows


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
        rows.ENV_RUNNER_RESTARTS: progress.env_runner_restarts,
        rows.ITERATION: progress.iterations,  # Tune counts from 1 again where a trial goes on
        **progress.evaluation,
        **(phase_row(sweep.curriculum, progress.phase, progress.env_steps) if sweep.curriculum else {}),
        **{
            rows.LEARNER_PREFIX + key: number(learner.get(name))
            for key, name in rows.LEARNER_METRICS[sweep.algorithm].items()
        },
        **{
            rows.TIMERS_PREFIX + key: number(next((timers[name] for name in names if name in timers), None))
            for key, names in rows.TIMERS.items()
        },
    }


def _game_row(progress: Progress, env: EnvSpec) -> dict[str, float | int]:
    """What the whole games say, beside their mean score."""
    scores = np.array(progress.window_scores)
    env_steps = statistic(np.mean, np.array(progress.window_env_steps))
    return {
        rows.SCORE_STD: statistic(np.std, scores),
        rows.SCORE_MIN: statistic(np.min, scores),
        rows.SCORE_MAX: statistic(np.max, scores),
        rows.SCORE_MEDIAN: statistic(np.median, scores),
        rows.SCORE_BEST: progress.best_game if progress.games else math.nan,
        rows.AUC: progress.score_area / progress.env_steps if progress.score_area else math.nan,
        rows.HUMAN_NORMALIZED: human_normalized_or_nan(env.id, progress.score),
        rows.GAMES: progress.games,
        rows.GAME_ENV_STEPS: env_steps,
        rows.GAME_FRAMES: env_steps * env.frames_per_env_step,
        rows.LIVES_LOST: statistic(np.mean, np.array(progress.window_lives_lost)),
    }
