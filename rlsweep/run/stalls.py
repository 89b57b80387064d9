"""Trials that hang: an environment or a lock that never answers would keep its CPUs for ever."""

from __future__ import annotations

import time
from typing import Any

from ray.tune import Callback

from rlsweep.run.kills import Kills, is_killable

LOOK_SECONDS = 1.0
"""Between two looks at all trials, or a tenth of what is too long: Tune asks at every event."""


class Stalls(Callback):
    """Kills the process of a trial that runs and has sent no row for too long.

    Args:
        kills: by which it kills.
        most_seconds: without a row, also from the start of a trial's process to its first one: `Trial` is set
            up when it runs for Tune. One that waits for resources does not run.
    """

    def __init__(self, kills: Kills, most_seconds: float) -> None:
        self._kills, self._most_seconds = kills, most_seconds
        self._heard: dict[str, float] = {}
        self._next_look = 0.0

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._heard[str(trial)] = time.monotonic()

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._heard[str(trial)] = time.monotonic()

    def on_trial_save(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._heard[str(trial)] = time.monotonic()

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + min(LOOK_SECONDS, self._most_seconds / 10)
        for trial in filter(is_killable, trials):
            trial_id = str(trial)
            silent_seconds = time.monotonic() - self._heard.setdefault(trial_id, time.monotonic())
            if silent_seconds > self._most_seconds:
                self._heard.pop(trial_id)
                self._kills.kill(trial, "stall", f"no row for {silent_seconds:.0f} s (failures.stall)")
