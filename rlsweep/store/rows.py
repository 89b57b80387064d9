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
SCORE_MEDIAN = "score_median"
"""Over the same games as `score`."""

SCORE_BEST = "score_best"
"""Of the best game since the trial began."""

AUC = "auc"
"""Mean of `score` over the env steps so far (area under the learning curve divided by its length): sample
efficiency. Before the first game the curve is as high as its first value; NaN until there is one."""

HUMAN_NORMALIZED = "human_normalized"
"""`score` where a random player has 0 and a human 1; NaN where the game's human score is not known."""

WINDOW_SCORES = (SCORE, SCORE_STD, SCORE_MIN, SCORE_MAX, SCORE_MEDIAN, AUC, HUMAN_NORMALIZED)
"""The keys that `score_valid` speaks of."""

METRIC_ALIASES = {"eval_score": "evaluation/score"}
"""Short names that an objective may use for a row key."""

ENV_STEPS_TO = "env_steps_to/"
SECONDS_TO = "seconds_to/"
"""Env steps and training seconds until a valid `score` reached the number that follows; NaN before. Rows have
them only where the objective asks for them."""

GAMES = "games"
"""Whole games ended since the trial began."""

GAME_ENV_STEPS = "game_env_steps"
GAME_FRAMES = "game_frames"
LIVES_LOST = "lives_lost"
"""Means over the same games as `score`: length in env steps and in emulator frames, lives lost (0 where the
game has none)."""

ENV_STEPS = "env_steps"
"""Agent decisions over all env runners since the trial began."""

FRAMES = "frames"
"""Emulator frames: env steps times frame skip."""

STEPS_PER_SECOND = "steps_per_second"
"""Env steps of this iteration divided by its seconds, sampling and learning together."""

SECONDS = "seconds"
"""Seconds of sampling and learning since the trial began; evaluation and restarts not counted."""

ENV_RUNNER_RESTARTS = "env_runner_restarts"
"""Env-runner actors that died, raised or did not answer, and came back, since the trial began."""

ITERATION = "training_iteration"
TIMESTAMP = "timestamp"
"""Unix time of the row, in seconds."""

EVALUATION_PREFIX = "evaluation/"
EVALUATION_SCORE = "evaluation/score"
EVALUATION_SCORE_STD = "evaluation/score_std"
EVALUATION_GAMES = "evaluation/games"
"""Of the last evaluation; NaN (games: 0) before the first."""

PHASE = "curriculum/phase"
PHASE_NAME = "curriculum/phase_name"
PHASE_SCORE = "curriculum/score"
PHASE_GAMES = "curriculum/games"
PHASE_ENV_STEPS = "curriculum/env_steps"
"""Index and name of the phase that the iteration was trained in; mean score of the whole games that began and
ended in it, as many as the longest condition looks back on; their number in all; env steps in the phase. Rows
have them only where the spec has a curriculum."""

LEARNER_PREFIX = "learner/"
TIMERS_PREFIX = "timers/"
CUSTOM_PREFIX = "custom/"
"""Of what RLlib's learners and timers say, and of the spec's callbacks."""

DIAGNOSTICS_PREFIX = CUSTOM_PREFIX + "diagnostics/"
"""Of the callback LearnerDiagnostics."""

SCORE_WINDOW = 100
"""Games in `score`, as in Mnih et al. 2013 (average per 100 episodes) and OpenAI Baselines."""

GLOBAL_NORM = "gradients_default_optimizer_global_norm"
"""RLlib's name of the gradient's norm before it is clipped."""

SKIPPED_UPDATES = "skipped_updates"
"""Our learners' name of the updates that were left out so far, because their gradient was no number."""

SAMPLE_SECONDS = "sample_seconds"
SAMPLE_WAIT_SECONDS = "sample_wait_seconds"
"""Our env runners' names of the seconds of a sample, and from its end to the next one's beginning."""

_ACTOR_CRITIC_METRICS = {
    "policy_loss": "policy_loss",
    "vf_loss": "vf_loss",
    "entropy": "entropy",
    "total_loss": "total_loss",
    "gradient_norm": GLOBAL_NORM,
    "skipped_updates": SKIPPED_UPDATES,
    "lr": "default_optimizer_learning_rate",
    "entropy_coeff": "curr_entropy_coeff",
}

LEARNER_METRICS: dict[str, dict[str, str]] = {
    "ppo": _ACTOR_CRITIC_METRICS
    | {
        "mean_kl_loss": "mean_kl_loss",
        "vf_explained_var": "vf_explained_var",
        "clip_param": "curr_clip_param",
    },
    "appo": _ACTOR_CRITIC_METRICS | {"mean_kl_loss": "mean_kl_loss", "clip_param": "curr_clip_param"},
    "impala": _ACTOR_CRITIC_METRICS | {"policy_loss": "mean_pi_loss", "vf_loss": "mean_vf_loss"},
    "dqn": {
        "qf_loss": "qf_loss",
        "qf_mean": "qf_mean",
        "td_error_mean": "td_error_mean",
        "gradient_norm": GLOBAL_NORM,
        "skipped_updates": SKIPPED_UPDATES,
        "lr": "default_optimizer_learning_rate",
    },
}
"""Row key (without `learner/`) -> RLlib's name, for each algorithm.

The clip range is only logged where a schedule or a phase changes it, and skipped updates once there is one;
elsewhere they are NaN.
"""

LOSSES = ("total_loss", "qf_loss", "vf_loss_unclipped")
"""RLlib's names of the losses that show whether a learner has diverged. PPO's clipped value loss hides it."""

TIMERS = {
    "sample_seconds": ("env_runner_sampling_timer", "sample"),
    "learn_seconds": ("learner_update_timer",),
}
"""Row key (without `timers/`) -> RLlib's timer, under one of these names: the mean of its recent calls. For
IMPALA and APPO these are the main loop's: waiting for samples, and handing batches to the learner."""


def row_keys(algorithm: str) -> list[str]:
    """Every key of a row of that algorithm that can be an objective."""
    return [
        *(*WINDOW_SCORES, SCORE_BEST, GAMES, GAME_ENV_STEPS, GAME_FRAMES, LIVES_LOST),
        *(STEPS_PER_SECOND, SECONDS),
        *(EVALUATION_SCORE, EVALUATION_SCORE_STD),
        *(LEARNER_PREFIX + key for key in LEARNER_METRICS[algorithm]),
        *(TIMERS_PREFIX + key for key in TIMERS),
    ]


TRACKED_KEYS = (
    *(SCORE, SCORE_MIN, SCORE_MAX, SCORE_MEDIAN, SCORE_BEST, AUC, HUMAN_NORMALIZED),
    *(GAMES, GAME_ENV_STEPS, LIVES_LOST, FRAMES, STEPS_PER_SECOND, SECONDS),
    *(EVALUATION_SCORE, EVALUATION_SCORE_STD, PHASE, PHASE_SCORE),
    *(prefix + "*" for prefix in (ENV_STEPS_TO, SECONDS_TO, LEARNER_PREFIX, TIMERS_PREFIX, CUSTOM_PREFIX)),
)
"""Patterns of the keys that MLflow shows unless the spec says otherwise: about 30, and what callbacks add."""


REACHED_STOP = "reached_stop"
HAS_DIVERGED = "has_diverged"
LINEAGE = "lineage"
"""What a trial tells the driver beside its row: it ended by its own `stop` and not by the scheduler (Tune's
`done` is true for both); its loss or score is no number any more; in the first row after it took over another
trial's checkpoint, which and when."""

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
        REACHED_STOP,
        HAS_DIVERGED,
        LINEAGE,
        "should_checkpoint",
        "time_since_restore",
        "time_this_iter_s",
        "time_total_s",
        "trial_id",
    }
)
"""What Tune adds to a row and the history leaves out: the same in every row, or said by another key."""
