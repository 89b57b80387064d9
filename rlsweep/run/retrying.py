"""What becomes of a trial that failed: by the class of its failure it goes on, later or on more, or ends."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from rlsweep.plan import Plan
from rlsweep.plan.packing import nearest_miss
from rlsweep.run.failure_classes import classify
from rlsweep.run.kills import Kills
from rlsweep.run.placement import group_factory
from rlsweep.run.session import is_alive
from rlsweep.run.stopping import Halt
from rlsweep.run.wrapped_schedulers import Wrapped
from rlsweep.store.endings import error_reason
from rlsweep.store.failures import Failure, FailureClass
from rlsweep.store.manifest import TRIAL
from rlsweep.store.rows import ENV_STEPS

FailureListener = Callable[[str, Failure], None]

_GROWS = {"out_of_memory": "CPU", "cuda_out_of_memory": "GPU"}
"""Class of failure -> of what a retry takes more, so that fewer trials share it."""


@dataclass
class _Troubled:
    """A trial that has failed.

    Attributes:
        checkpoint: that was its newest then.
        retries: by class, since there is that checkpoint.
        share: of what it was planned with.
        ready: time.monotonic() from which on it may begin again.
        is_lost: it does not begin again.
        is_paused: it waits.
        read: bytes of its trace that are known.
    """

    checkpoint: str = ""
    retries: Counter[FailureClass] = field(default_factory=Counter)
    share: float = 1.0
    ready: float = 0.0
    is_lost: bool = False
    is_paused: bool = False
    read: int = 0


class Retrying(Wrapped):
    """Lets trials that failed begin again as `failures:` says.

    Tune's own count knows no classes and no waiting: with it set to no limit, every trial that fails comes
    back here before it begins again.

    Args:
        scheduler: decides everything else.
        plan: its `failures:`, and the machine.
        halt: is told of each trial that failed for good.
        kills: knows which trials the driver has killed, and why.
        listeners: called with trial id and failure.
    """

    def __init__(
        self,
        scheduler: TrialScheduler,
        plan: Plan,
        halt: Halt,
        kills: Kills,
        listeners: Sequence[FailureListener],
    ) -> None:
        super().__init__(scheduler)
        self._plan = plan
        self._policy = plan.sweep.failures
        self._halt = halt
        self._kills = kills
        self._listeners = listeners
        self._troubled: dict[str, _Troubled] = {}

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        super().on_trial_error(tune_controller, trial)
        # Where a process dies while Tune hands it over, it never does so itself, and waits for it for ever.
        tune_controller._resetting_trials.discard(trial)
        if not is_alive():  # what fails now does so for that alone
            self._halt.has_lost_ray = True
            return
        known = self._troubled.setdefault(str(trial), _Troubled())
        checkpoint = trial.checkpoint.path if trial.checkpoint else ""
        if checkpoint != known.checkpoint:
            known.checkpoint, known.retries = checkpoint, Counter()
        failure = self._judge(trial, known, _new_trace(trial, known))
        for listener in self._listeners:
            listener(str(trial), failure)
        if known.is_lost:
            self._halt.count_failed(str(trial))

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        super().on_trial_add(tune_controller, trial)
        known = self._troubled.get(str(trial))
        if known is not None and not known.is_paused:
            known.is_paused = True
            tune_controller._set_trial_status(trial, Trial.PAUSED)  # else Tune begins it at once

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return super().on_trial_result(self._without_waiting(tune_controller), trial, result)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        for trial in self._waiting(tune_controller):
            known = self._troubled[str(trial)]
            if known.is_lost:
                known.is_paused = False
                tune_controller.stop_trial(trial)
            elif time.monotonic() >= known.ready:
                known.is_paused = False
                _new_trace(trial, known)  # such a death is written there twice
                tune_controller._set_trial_status(trial, Trial.PENDING)
        return super().choose_trial_to_run(self._without_waiting(tune_controller))

    def _judge(self, trial: Trial, known: _Troubled, trace: str) -> Failure:
        kind, reason = self._kills.take(str(trial)) or (classify(trace), error_reason(trace))
        most = self._policy.max_retries[kind]
        tried = known.retries[kind]
        # Else Tune gives it up: something was raised while it handed a process over.
        is_requeued = trial.status == Trial.ERROR
        known.is_lost = tried >= most or not is_requeued
        retry = 0 if known.is_lost else tried + 1
        seconds = self._policy.seconds_to_wait(retry) if retry else 0.0
        if retry:
            known.retries[kind] += 1
            known.ready = time.monotonic() + seconds
            self._grow(trial, known, kind)
        env_steps = int((trial.last_result or {}).get(ENV_STEPS, 0))
        return Failure(kind, reason, time.time(), env_steps, retry, tried, most, seconds, known.share)

    def _grow(self, trial: Trial, known: _Troubled, kind: FailureClass) -> None:
        """Ask for more of what ran out, as far as a node has it."""
        factor, resource = self._policy.larger_share, _GROWS.get(kind)
        asked = trial.placement_group_factory
        if resource is None or factor == 1 or asked is None:
            return
        planned = self._plan.trial(trial.config[TRIAL]["values"], trial.config[TRIAL]["seed"])
        main, *others = asked.bundles
        share = main.get(resource, 0)
        if not share:  # what ran out belongs to another bundle
            return
        grown = share * factor
        grown = math.ceil(grown) if resource == "GPU" and grown > 1 else grown  # Ray divides no further GPU
        bundles = [{**main, resource: grown}, *others]
        selectors = planned.resources.label_selectors
        if nearest_miss(bundles, asked.strategy, self._plan.machine.nodes, selectors) is None:
            trial.update_resources(group_factory(bundles, asked.strategy, selectors))
            known.share *= grown / share

    def _waiting(self, tune_controller: Any) -> list[Trial]:
        paused = {trial_id for trial_id, known in self._troubled.items() if known.is_paused}
        return [
            trial
            for trial in (tune_controller.get_trials() if paused else ())
            if str(trial) in paused and trial.status == Trial.PAUSED
        ]

    def _without_waiting(self, tune_controller: Any) -> Any:
        waiting = self._waiting(tune_controller)
        return _Without(tune_controller, waiting) if waiting else tune_controller


class _Without:
    """Tune's controller, for a scheduler that shall not see some of its trials.

    Args:
        tune_controller: the whole of it.
        hidden: trials that wait.
    """

    def __init__(self, tune_controller: Any, hidden: Sequence[Trial]) -> None:
        self._tune_controller, self._hidden = tune_controller, hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tune_controller, name)

    def get_trials(self) -> list[Trial]:
        return [trial for trial in self._tune_controller.get_trials() if trial not in self._hidden]

    def get_live_trials(self) -> set[Trial]:
        return {trial for trial in self._tune_controller.get_live_trials() if trial not in self._hidden}


def _new_trace(trial: Trial, known: _Troubled) -> str:
    """What Tune has added to the trial's error file."""
    if not trial.error_file:
        return "no trace was kept"
    with Path(trial.error_file).open("rb") as stream:
        stream.seek(known.read)
        new = stream.read()
    known.read += len(new)
    return new.decode("utf-8", errors="replace")
