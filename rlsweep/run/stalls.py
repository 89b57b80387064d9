"""Trials that hang: an environment or a lock that never answers would keep its CPUs for ever."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.tune import Callback


class Stalls(Callback):
    """Kills the actor of a trial that runs and has sent no row for too long; Tune then sees it fail.

    Args:
        most_seconds: without a row, also from the start of a trial's process to its first one: `Trial` is set
            up when it runs for Tune. One that waits for resources does not run.
    """

    def __init__(self, most_seconds: float) -> None:
        self._most_seconds = most_seconds
        self._heard: dict[str, float] = {}
        self._killed: dict[str, str] = {}

    def take(self, trial_id: str) -> str:
        """Why a trial was killed, once; empty for one that was not."""
        return self._killed.pop(trial_id, "")

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._heard[str(trial)] = time.monotonic()

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._heard[str(trial)] = time.monotonic()

    def on_trial_save(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._heard[str(trial)] = time.monotonic()

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        for trial in trials:
            trial_id, actor = str(trial), trial.temporary_state.ray_actor
            if trial.status != "RUNNING" or actor is None:
                continue
            silent_seconds = time.monotonic() - self._heard.setdefault(trial_id, time.monotonic())
            if silent_seconds > self._most_seconds:
                self._killed[trial_id] = f"no row for {silent_seconds:.0f} s (failures.stall)"
                self._heard.pop(trial_id)
                ray.kill(actor)
