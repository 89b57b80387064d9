"""A sweep that runs as metrics of Ray, which gives them to Prometheus.

Ray collects what was set since it last did so (every 10 seconds, RAY_metrics_report_interval_ms) and shows a
gauge for twice as long at the metrics endpoint of the driver's node, as `ray_` and its name. So everything is
set again and again while Tune works; once nobody does so, after the end or the death of a driver, the series
end by themselves.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune import Callback
from ray.util.metrics import Gauge

from rlsweep.store.manifest import DIVERGED, FAILED, FINISHED, INTERRUPTED, PENDING, RUNNING, STOPPED

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0
"""Between two settings: shorter than Ray's between two collections, or a gauge would come and go."""

TRIALS = "rlsweep_trials"
BEST_SCORE = "rlsweep_best_score"
ENV_STEPS = "rlsweep_env_steps"
ENV_STEPS_PER_SECOND = "rlsweep_env_steps_per_second"
GPU_HOURS = "rlsweep_gpu_hours"
REMAINING_SECONDS = "rlsweep_remaining_seconds"

GAUGES = {
    TRIALS: "Trials of the sweep in a state.",
    BEST_SCORE: "Best valid last score of a trial that has neither failed nor diverged.",
    ENV_STEPS: "Env steps that the trials stand at, over all of them.",
    ENV_STEPS_PER_SECOND: "Env steps per second in the last rows of the trials that run.",
    GPU_HOURS: "GPU-hours that trials have spent, earlier runs of the sweep included.",
    REMAINING_SECONDS: "Seconds until all known trials are at their stop, at the present speed; at most.",
}
"""Names before Ray's prefix, and what Prometheus says of them."""

STATES = (PENDING, RUNNING, FINISHED, STOPPED, DIVERGED, FAILED, INTERRUPTED)
"""Values of the tag `state`; each is always there, with 0 where no trial is in it."""

SWEEP = "sweep"
STATE = "state"


@dataclass(frozen=True)
class SweepFigures:
    """How a sweep stands.

    Attributes:
        trials: state -> how many; a state that is missing has none.
        best_score: NaN while there is none.
        env_steps: of all trials.
        env_steps_per_second: of all that run.
        gpu_hours: spent.
        remaining_seconds: NaN where nothing runs.
    """

    trials: Mapping[str, int]
    best_score: float
    env_steps: int
    env_steps_per_second: float
    gpu_hours: float
    remaining_seconds: float

    @property
    def values(self) -> dict[str, float]:
        """Name of a gauge -> its value, of those that have no state."""
        return {
            BEST_SCORE: self.best_score,
            ENV_STEPS: self.env_steps,
            ENV_STEPS_PER_SECOND: self.env_steps_per_second,
            GPU_HOURS: self.gpu_hours,
            REMAINING_SECONDS: self.remaining_seconds,
        }


class SweepGauges(Callback):
    """Sets the gauges of a sweep; whatever goes wrong with that, the sweep goes on without them.

    Args:
        name: of the sweep.
        figures: says how it stands; is given the last result of every trial that has sent one.
    """

    def __init__(self, name: str, figures: Callable[[Mapping[str, Mapping[str, Any]]], SweepFigures]) -> None:
        self._name, self._figures = name, figures
        self._results: dict[str, Mapping[str, Any]] = {}
        self._gauges: dict[str, Gauge] = {}
        self._next_time = 0.0
        self._has_warned = False

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        if time.monotonic() >= self._next_time:
            self._next_time = time.monotonic() + INTERVAL_SECONDS
            self._set()

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._results[str(trial)] = result

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        self._set()

    def _set(self) -> None:
        try:
            figures = self._figures(self._results)
            for state in STATES:
                self._gauge(TRIALS).set(figures.trials.get(state, 0), {SWEEP: self._name, STATE: state})
            for name, value in figures.values.items():
                if math.isfinite(value):  # Ray drops what is no number
                    self._gauge(name).set(value, {SWEEP: self._name})
        except Exception as error:  # whatever it is, the sweep does without gauges
            if not self._has_warned:
                self._has_warned = True
                reason = f"{type(error).__name__}: {error}"
                logger.warning("Ray's metrics are not told, the sweep goes on without them: %s", reason)

    def _gauge(self, name: str) -> Gauge:
        if name not in self._gauges:
            tags = (SWEEP, STATE) if name == TRIALS else (SWEEP,)
            self._gauges[name] = Gauge(name, GAUGES[name], tag_keys=tags)
        return self._gauges[name]
