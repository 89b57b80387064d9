"""Signals that tell a sweep to stop: what runs leaves a checkpoint first; a second one ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from ray.tune import Callback

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C; what Kubernetes, Slurm and `kill` send; what Slurm sends earlier where it was asked to."""


class StopSignals(Callback):
    """Takes the place of Tune's own handlers, which leave without checkpoints, while Tune works.

    A second signal raises KeyboardInterrupt, which Tune lets through; whoever catches it calls `restore`.

    Args:
        on_signal: called with the first signal.
    """

    def __init__(self, on_signal: Callable[[int], None]) -> None:
        self._on_signal = on_signal
        self._before: dict[int, Any] = {}
        self._is_stopping = False

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        if not self._before:  # not in `setup`: Tune sets its own after that
            self._before = {number: signal.signal(number, self._handle) for number in STOPPING}

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        self.restore()

    def restore(self) -> None:
        """Put the handlers of before back in their place."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_stopping:
            raise KeyboardInterrupt
        self._is_stopping = True
        self._on_signal(number)
