"""A callback that notes when env runners sampled and when the learner updated; a spec names it
`timeline_callback:Timeline`."""

from __future__ import annotations

import time
from typing import Any

from ray.rllib.core import ALL_MODULES

from callbacks.worker.trial_callback import TrialCallback
from rlsweep.store.rows import SAMPLE_SECONDS


class Timeline(TrialCallback):
    """Logs beginnings and ends in Unix time, item by item."""

    def on_sample_end(self, *, env_runner: Any, metrics_logger: Any, samples: Any, **kwargs: Any) -> None:
        end = time.time()
        begin = end - metrics_logger.peek(SAMPLE_SECONDS)
        metrics_logger.log_value("sample_begins", begin, reduce="item_series")
        metrics_logger.log_value("sample_ends", end, reduce="item_series")

    def on_update_end(self, *, learner: Any, seconds: float, waited: float) -> None:
        end = time.time()
        learner.metrics.log_value((ALL_MODULES, "update_begins"), end - seconds, reduce="item_series")
        learner.metrics.log_value((ALL_MODULES, "update_ends"), end, reduce="item_series")
