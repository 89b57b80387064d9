"""What becomes of a trial that failed: by the class of its failure it goes on, later or on more, or ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray.tune import PlacementGroupFactory
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from rlsweep.plan import Plan
from rlsweep.plan.packing import nearest_miss
from rlsweep.run.failure_classes import classify
from rlsweep.run.session import is_alive
from rlsweep.run.stalls import Stalls
from rlsweep.run.stopping import Halt
from rlsweep.run.wrapped_schedulers import Wrapped
from rlsweep.store.endings import error_reason
from rlsweep.store.failures import Failure, FailureClass
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
        read: bytes of its trace that are known.
    """

    checkpoint: str = ""
    retries: Counter[FailureClass] = field(default_factory=Counter)
    share: float = 1.0
    ready: float = 0.0
    is_lost: bool = False
    read: int = 0


class Retrying(Wrapped):
    """Lets trials that failed begin again as `failures:` says.

    Tune's own count knows no classes and no waiting: with it set to no limit, every trial that fails comes
    back here before it begins again.

    Args:
        scheduler: decides everything else.
        plan: its `failures:`, and the machine.
        halt: is told of each trial that failed for good.
        stalls: knows which trials were killed because they hung.
        listeners: called with trial id and failure.
    """

    def __init__(
        self,
        scheduler: TrialScheduler,
        plan: Plan,
        halt: Halt,
        stalls: Stalls,
        listeners: Sequence[FailureListener],
    ) -> None:
        super().__init__(scheduler)
        self._plan = plan
        self._policy = plan.sweep.failures
        self._halt = halt
        self._stalls = stalls
        self._listeners = listeners
        self._troubled: dict[str, _Troubled] = {}

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        super().on_trial_error(tune_controller, trial)
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

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        for trial in tune_controller.get_trials():
            if trial.status == Trial.PENDING and self._is_lost(trial):
                tune_controller.stop_trial(trial)
        chosen = super().choose_trial_to_run(tune_controller)
        if chosen is None or self._is_ready(chosen):
            return chosen
        others = (trial for trial in tune_controller.get_trials() if trial.status == Trial.PENDING)
        return next((trial for trial in others if self._is_ready(trial)), None)

    def _judge(self, trial: Trial, known: _Troubled, trace: str) -> Failure:
        stalled = self._stalls.take(str(trial))
        kind: FailureClass = "stall" if stalled else classify(trace)
        most = self._policy.max_retries[kind]
        # A trial that never ran is given up by Tune itself.
        has_begun = trial.status == Trial.ERROR
        known.is_lost = known.retries[kind] >= most or not has_begun
        retry = 0 if known.is_lost else known.retries[kind] + 1
        seconds = self._policy.seconds_to_wait(retry) if retry else 0.0
        if retry:
            known.retries[kind] += 1
            known.ready = time.monotonic() + seconds
            self._grow(trial, known, kind)
        env_steps = int((trial.last_result or {}).get(ENV_STEPS, 0))
        reason = stalled or error_reason(trace)
        return Failure(kind, reason, time.time(), env_steps, retry, most, seconds, share=known.share)

    def _grow(self, trial: Trial, known: _Troubled, kind: FailureClass) -> None:
        """Ask for more of what ran out, as far as a node has it."""
        factor, resource = self._policy.larger_share, _GROWS.get(kind)
        asked = trial.placement_group_factory
        if resource is None or factor == 1 or asked is None:
            return
        main, *others = asked.bundles
        bundles = [{**main, resource: main.get(resource, 0) * factor}, *others]
        if nearest_miss(bundles, asked.strategy, self._plan.machine.nodes) is None:
            trial.update_resources(PlacementGroupFactory(bundles, strategy=asked.strategy))
            known.share *= factor

    def _is_lost(self, trial: Trial) -> bool:
        known = self._troubled.get(str(trial))
        return known is not None and known.is_lost

    def _is_ready(self, trial: Trial) -> bool:
        known = self._troubled.get(str(trial))
        return known is None or time.monotonic() >= known.ready


def _new_trace(trial: Trial, known: _Troubled) -> str:
    """What Tune has added to the trial's error file."""
    if not trial.error_file:
        return "no trace was kept"
    with Path(trial.error_file).open("rb") as stream:
        stream.seek(known.read)
        new = stream.read()
    known.read += len(new)
    return new.decode("utf-8", errors="replace")
