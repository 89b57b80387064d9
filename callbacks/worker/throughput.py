"""What a trial's seconds are spent on."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ray.rllib.core import ALL_MODULES
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    LEARNER_RESULTS,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)

from callbacks.worker.trial_callback import TrialCallback, TrialFacts
from rlsweep.store.rows import SAMPLE_SECONDS

SAMPLING_SECONDS = "sampling_seconds"
LEARNING_SECONDS = "learning_seconds"
WAITING_SECONDS = "waiting_seconds"
"""Metric keys, sums over an iteration: of all env runners; of the learner's updates; of the time between."""


class Throughput(TrialCallback):
    """What goes into the row's `steps_per_second`: shares of the time from row to row.

    Keys, all with `throughput/`: `sampling_share` of an env runner's time;
    `learning_share` and `waiting_share` of a learner's; `sync_seconds`, RLlib's mean of one handing out of
    weights. Where sampling and learning take turns, their shares add up to one at most; where they go on side
    by side, each may be near one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._num_env_runners = self._num_learners = 1
        self._before = math.nan

    def keys(self, facts: TrialFacts) -> Sequence[str]:
        found = ("sampling_share", "learning_share", "waiting_share", "sync_seconds")
        return [f"throughput/{key}" for key in found]

    def on_algorithm_init(self, *, algorithm: Any, **kwargs: Any) -> None:
        self._num_env_runners = max(1, algorithm.config.num_env_runners)
        self._num_learners = max(1, algorithm.config.num_learners)

    def on_sample_end(self, *, env_runner: Any, metrics_logger: Any, **kwargs: Any) -> None:
        seconds = metrics_logger.peek(SAMPLE_SECONDS, default=math.nan)  # RLlib's own loop does not say
        if math.isfinite(seconds):
            metrics_logger.log_value(SAMPLING_SECONDS, seconds, reduce="sum")

    def on_update_end(self, *, learner: Any, seconds: float, waited: float) -> None:
        learner.metrics.log_value((ALL_MODULES, LEARNING_SECONDS), seconds, reduce="sum")
        if math.isfinite(waited):
            learner.metrics.log_value((ALL_MODULES, WAITING_SECONDS), waited, reduce="sum")

    def row(self, result: Mapping[str, Any]) -> Mapping[str, float]:
        runners = result.get(ENV_RUNNER_RESULTS, {})
        learner = result.get(LEARNER_RESULTS, {}).get(ALL_MODULES, {})
        now, before = time.monotonic(), self._before
        self._before, seconds = now, now - before
        found = {
            "sampling_share": runners.get(SAMPLING_SECONDS, math.nan) / self._num_env_runners / seconds,
            "learning_share": learner.get(LEARNING_SECONDS, math.nan) / self._num_learners / seconds,
            "waiting_share": learner.get(WAITING_SECONDS, math.nan) / self._num_learners / seconds,
            "sync_seconds": result.get(TIMERS, {}).get(SYNCH_WORKER_WEIGHTS_TIMER, math.nan),
        }
        return {f"throughput/{key}": float(value) for key, value in found.items()}
