"""A scheduler round another: it chooses among the trials that have not ended."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from rlsweep.run.wrapped_schedulers import Wrapped


class Unended(Wrapped):
    """Spares another scheduler the trials that have ended, when it looks for the next one.

    Tune asks for that at every event, and its schedulers look through all trials of the sweep, of which
    thousands may have ended.
    """

    def __init__(self, scheduler: TrialScheduler) -> None:
        super().__init__(scheduler)
        self._trials: dict[Trial, None] = {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._trials.pop(trial, None)  # one that failed is added again, behind the others
        self._trials[trial] = None
        super().on_trial_add(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        ended = [trial for trial in self._trials if trial.status == Trial.TERMINATED]
        for trial in ended:
            del self._trials[trial]
        return super().choose_trial_to_run(_Shown(tune_controller, list(self._trials)))


class _Shown:
    """Tune's controller, for a scheduler that shall see some of its trials.

    Args:
        tune_controller: the whole of it.
        trials: what is seen.
    """

    def __init__(self, tune_controller: Any, trials: list[Trial]) -> None:
        self._tune_controller, self._trials = tune_controller, trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tune_controller, name)

    def get_trials(self) -> list[Trial]:
        return self._trials
