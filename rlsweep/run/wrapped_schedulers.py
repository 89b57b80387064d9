"""Schedulers round others: one keeps results from them that are no evidence, one lets no trial begin."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from analysis.judgement import row_value
from rlsweep.run.stopping import Halt
from rlsweep.store.manifest import Objective
from rlsweep.store.rows import ENV_STEPS

COMPARED = "rlsweep/compared"
GRACES = "rlsweep/graces"
"""Keys that schedulers read, beside those of the row: the value that counts, and env steps in units of the
grace (Hyperband's brackets are made for small whole numbers)."""


class Wrapped(TrialScheduler):
    """Lets another scheduler decide."""

    def __init__(self, scheduler: TrialScheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    @property
    def metric(self) -> Any:
        return self._scheduler.metric

    @property
    def supports_buffered_results(self) -> bool:
        return False

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        return bool(self._scheduler.set_search_properties(metric, mode, **spec))

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._scheduler.on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._scheduler.on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return str(self._scheduler.on_trial_result(tune_controller, trial, result))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._scheduler.on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._scheduler.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        trial: Trial | None = self._scheduler.choose_trial_to_run(tune_controller)
        return trial

    def debug_string(self) -> str:
        return str(self._scheduler.debug_string())

    def save(self, checkpoint_path: str) -> None:
        self._scheduler.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        self._scheduler.restore(checkpoint_path)


class Halting(Wrapped):
    """Lets no trial begin or go on any more once a sweep halts: those that wait or pause are stopped at once.

    Args:
        scheduler: decides until then.
        halt: knows, and is told when nothing runs any more.
    """

    def __init__(self, scheduler: TrialScheduler, halt: Halt) -> None:
        super().__init__(scheduler)
        self._halt = halt

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        decision = super().on_trial_result(tune_controller, trial, result)
        if decision == self.STOP:
            self._halt.stopped.add(str(trial))
        return decision

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        if not self._halt.is_halting:
            return super().choose_trial_to_run(tune_controller)
        tune_controller.search_alg.set_finished()
        for trial in tune_controller.get_trials():
            if trial.status in (Trial.PENDING, Trial.PAUSED):
                tune_controller.stop_trial(trial)
        self._halt.is_idle = all(trial.is_finished() for trial in tune_controller.get_trials())
        return None


class Guarded(Wrapped):
    """Hands another scheduler only the results whose value counts.

    A score before enough games have ended, or one that is no number, says nothing: the trial goes on, and is
    neither killed nor crowned by it.

    Args:
        scheduler: decides.
        objective: by which.
        grace: env steps of one unit of GRACES.
    """

    def __init__(self, scheduler: TrialScheduler, objective: Objective, grace: int = 1) -> None:
        super().__init__(scheduler)
        self._objective = objective
        self._grace = grace

    @property
    def metric(self) -> str:
        return self._objective.key  # Tune wants it in every row

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        return True  # it was made with them

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        counted = self._counted(result)
        if counted is None:
            return str(self.CONTINUE)
        return super().on_trial_result(tune_controller, trial, counted)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        counted = self._counted(result)
        if counted is None:
            self._scheduler.on_trial_remove(tune_controller, trial)
        else:
            super().on_trial_complete(tune_controller, trial, counted)

    def _counted(self, result: Mapping[str, Any]) -> dict[str, Any] | None:
        value = row_value(result, self._objective)
        if not math.isfinite(value):
            return None
        return {**result, COMPARED: value, GRACES: result[ENV_STEPS] / self._grace}


class _Past:
    """Tune's controller of a sweep that is replayed."""

    def get_live_trials(self) -> set[Trial]:
        return set()


@dataclass(frozen=True)
class Known:
    """A trial as a scheduler knows it that changes no trials, whichever run of the sweep it is in.

    Attributes:
        trial_id: the one in the manifest.
    """

    trial_id: str


class Remembering(Guarded):
    """Lets a scheduler go on with what it has seen before the sweep was interrupted.

    Its state is made again from the history: every row, in the order in which they came. What it decided then
    has happened, but for a last row that the interruption kept from it. For schedulers that only say whether
    a trial goes on: they are shown `Known` trials, so that one which goes on is the same as before.

    Args:
        scheduler, objective: as for Guarded.
        past: trial id and row of all results so far, in the order of their times.
    """

    def __init__(
        self, scheduler: TrialScheduler, objective: Objective, past: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> None:
        super().__init__(scheduler, objective)
        self._known: dict[str, Known] = {}
        self._seen: dict[str, int] = {}
        self._stopped: set[str] = set()
        for trial_id, row in past:
            self._judge(_Past(), trial_id, row)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._shown(str(trial))

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        super().on_trial_error(tune_controller, self._shown(str(trial)))

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return self._judge(tune_controller, str(trial), result)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        super().on_trial_complete(tune_controller, self._shown(str(trial)), result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        super().on_trial_remove(tune_controller, self._shown(str(trial)))

    def _judge(self, tune_controller: Any, trial_id: str, row: Mapping[str, Any]) -> str:
        """What the scheduler says to a row; rows that are made again have been judged."""
        counted = self._counted(row)
        if counted is None or row[ENV_STEPS] <= self._seen.get(trial_id, -1):
            return str(self.CONTINUE)
        if trial_id in self._stopped:
            return str(self.STOP)
        self._seen[trial_id] = row[ENV_STEPS]
        decision = str(self._scheduler.on_trial_result(tune_controller, self._shown(trial_id), counted))
        if decision == self.STOP:
            self._stopped.add(trial_id)
        return decision

    def _shown(self, trial_id: str) -> Any:
        if trial_id not in self._known:
            self._known[trial_id] = Known(trial_id)
            self._scheduler.on_trial_add(_Past(), self._known[trial_id])
        return self._known[trial_id]
