"""Keys of a result row: one JSON object per training iteration, flat, the same keys from the first row on.

A number that is not there yet is NaN, never missing and never null.
"""

from __future__ import annotations

SCORE = "score"
"""Mean unclipped return of the last SCORE_WINDOW whole games; NaN until a game has ended."""

SCORE_VALID = "score_valid"
"""Whether as many games have ended as run side by side: before, only the short ones have."""

SCORE_STD = "score_std"
SCORE_MIN = "score_min"
SCORE_MAX = "score_max"
"""Over the same games as `score`."""

GAMES = "games"
"""Whole games ended since the trial began."""

GAME_ENV_STEPS = "game_env_steps"
"""Mean length of the same games as `score`, in env steps."""

ENV_STEPS = "env_steps"
"""Agent decisions over all env runners since the trial began."""

FRAMES = "frames"
"""Emulator frames: env steps times frame skip."""

STEPS_PER_SECOND = "steps_per_second"
"""Env steps of this iteration divided by its seconds, sampling and learning together."""

SECONDS = "seconds"
"""Seconds of sampling and learning since the trial began; evaluation and restarts not counted."""

ITERATION = "training_iteration"
TIMESTAMP = "timestamp"
"""Unix time of the row, in seconds."""

EVALUATION_SCORE = "evaluation/score"
EVALUATION_SCORE_STD = "evaluation/score_std"
EVALUATION_GAMES = "evaluation/games"
"""Of the last evaluation; NaN (games: 0) before the first."""

LEARNER_PREFIX = "learner/"
TIMERS_PREFIX = "timers/"

SCORE_WINDOW = 100
"""Games in `score`, as in Mnih et al. 2013 (average per 100 episodes) and OpenAI Baselines."""

TUNE_KEYS = frozenset(
    {
        "config",
        "date",
        "done",
        "experiment_tag",
        "hostname",
        "iterations_since_restore",
        "node_ip",
        "pid",
        "should_checkpoint",
        "time_since_restore",
        "time_this_iter_s",
        "time_total_s",
        "trial_id",
    }
)
"""What Tune adds to a row and the history leaves out: the same in every row, or said by another key."""
