"""Trials whose process the driver kills: their trace says that it died, not why."""

from __future__ import annotations

from typing import Any

import ray

from rlsweep.store.failures import FailureClass


class Kills:
    """Kills processes of trials, and keeps why; Tune then sees them fail."""

    def __init__(self) -> None:
        self._why: dict[str, tuple[FailureClass, str]] = {}

    def kill(self, trial: Any, kind: FailureClass, reason: str) -> None:
        """Kill the process of a Tune trial that runs."""
        self._why[str(trial)] = kind, reason
        ray.kill(trial.temporary_state.ray_actor)

    def take(self, trial_id: str) -> tuple[FailureClass, str] | None:
        """Class and reason of the failure of a trial that was killed, once; None for one that was not."""
        return self._why.pop(trial_id, None)


def is_killable(trial: Any) -> bool:
    """Whether a Tune trial runs, in a process of its own."""
    return trial.status == "RUNNING" and trial.temporary_state.ray_actor is not None
