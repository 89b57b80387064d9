"""When a trial has done what its spec asked for, and when a sweep has reached a limit or is told to stop."""

from __future__ import annotations

import time
from typing import Any

from ray import tune

from rlsweep.plan import Plan
from rlsweep.run.progress import Progress
from rlsweep.spec import Sweep
from rlsweep.store.rows import SCORE_WINDOW


def is_done(sweep: Sweep, progress: Progress) -> bool:
    """Whether a trial has reached one of its stop rules.

    With a curriculum, `stop.score` counts in the last phase alone, once its own games fill the window.
    """
    stop, scores = sweep.stop, progress.window_scores
    window_is_full = len(scores) == scores.maxlen
    rules = [
        progress.env_steps >= stop.env_steps,
        stop.iterations is not None and progress.iterations >= stop.iterations,
        stop.time is not None and progress.wall_seconds >= stop.time,
        stop.score is not None
        and window_is_full
        and progress.score >= stop.score
        and _is_in_last_phase(sweep, progress),
        stop.no_improvement is not None
        and progress.best_env_steps > 0
        and progress.env_steps - progress.best_env_steps >= stop.no_improvement,
    ]
    return any(rules)


def _is_in_last_phase(sweep: Sweep, progress: Progress) -> bool:
    if sweep.curriculum is None:
        return True
    is_last = progress.phase.index == len(sweep.curriculum.phases) - 1
    return is_last and progress.phase.games >= SCORE_WINDOW


class Halt(tune.Stopper):
    """Ends a sweep whose wall time or GPU hours are spent, of which too many trials have failed, or that was
    told to stop by a signal.

    Every trial that runs makes one more row, and leaves a checkpoint to go on from; none begins
    (`wrapped_schedulers.Halting`).

    Args:
        plan: its budget, and what a trial takes of the machine.
        gpu_seconds: that earlier runs of the sweep have spent.

    Attributes:
        signal: that told it to stop; 0 for none.
        has_lost_ray: Ray has died, nothing can run any more.
        is_idle: no trial runs any more.
        stopped: ids of the trials that the scheduler has stopped, not this.
    """

    def __init__(self, plan: Plan, gpu_seconds: float = 0.0) -> None:
        self._budget = plan.sweep.budget
        self._gpus_of_trial = plan.resources.gpus
        self._started = time.monotonic()
        self._gpu_seconds = gpu_seconds
        self._max_failed = plan.sweep.failures.max_failed_trials
        self._failed: set[str] = set()
        self.signal = 0
        self.has_lost_ray = False
        self.is_idle = False
        self.stopped: set[str] = set()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self._gpu_seconds += result.get("time_this_iter_s", 0.0) * self._gpus_of_trial
        return self.is_halting

    def stop_all(self) -> bool:
        return self.is_halting and self.is_idle

    @property
    def is_halting(self) -> bool:
        """Whether trials end before they have reached their stop."""
        return bool(self.signal or self.has_lost_ray or self.reason)

    def count_failed(self, trial_id: str) -> None:
        """Note that a trial has failed for good."""
        self._failed.add(trial_id)

    @property
    def gpu_hours(self) -> float:
        """That its trials have spent, in earlier runs too."""
        return self._gpu_seconds / 3600

    @property
    def reason(self) -> str:
        """Which limit of the spec the sweep has reached, as words; empty while it has reached none."""
        if self._max_failed is not None and len(self._failed) > self._max_failed:
            return f"failures.max_failed_trials: {len(self._failed)} have failed, {self._max_failed} may"
        budget, wall_seconds = self._budget, time.monotonic() - self._started
        gpu_hours = self.gpu_hours
        if budget.wall_time is not None and wall_seconds >= budget.wall_time:
            return f"budget.wall_time: {wall_seconds:.0f} of {budget.wall_time:.0f} seconds"
        if budget.gpu_hours is not None and gpu_hours >= budget.gpu_hours:
            return f"budget.gpu_hours: {gpu_hours:.2f} of {budget.gpu_hours:g}"
        return ""
