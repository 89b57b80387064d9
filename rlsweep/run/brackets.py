"""Hyperband as Tune has it, for coarse rows, and with the brackets that it had before an interruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import HyperBandScheduler, TrialScheduler

from rlsweep.run.past import Past
from rlsweep.run.wrapped_schedulers import GRACES, Guarded
from rlsweep.store.manifest import Objective
from rlsweep.store.rows import ENV_STEPS


class SteppedHyperBand(HyperBandScheduler):
    """Tune's Hyperband for rows that are coarser than its rounds.

    Tune lets a trial that is beyond the next round's end neither go on nor stop, and waits for ever. Here a
    trial is never further than the end of the round that its bracket is in.
    """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        bracket, _ = self._trial_info[trial]
        capped = {**result, GRACES: min(result[GRACES], bracket._cumul_r)}
        return str(super().on_trial_result(tune_controller, trial, capped))

    def _process_bracket(self, tune_controller: Any, bracket: Any) -> str:
        """As Tune's; its mark that a bracket is being processed ends with that.

        Tune leaves it: a member that ends by itself after the first halving then keeps the others waiting.
        """
        try:
            return str(super()._process_bracket(tune_controller, bracket))
        finally:
            bracket.is_being_processed = False


@dataclass(eq=False)
class Member:
    """A trial as Hyperband knows it: the same one before and after an interruption.

    Attributes:
        trial_id: the one in the manifest.
        trial: Tune's; None while Tune has not been given it.
        last_status: as the replay left it; it counts while Tune has no trial, or where the trial was paused
            then and may not begin before its bracket lets it.
        is_held: it was paused, and nobody has let it go on.
        env_steps: of its last row that was judged.
        is_out: it takes part in no bracket any more.
    """

    trial_id: str
    trial: Trial | None = None
    last_status: str = Trial.PENDING
    is_held: bool = False
    env_steps: int = -1
    is_out: bool = False

    def __str__(self) -> str:
        return self.trial_id

    @property
    def status(self) -> str:
        """In Tune's words."""
        is_tunes = self.trial is not None and not self.is_held
        return str(self.trial.status) if is_tunes and self.trial else self.last_status

    @property
    def is_saving(self) -> bool:
        """Whether Tune waits for a checkpoint of it."""
        return self.trial is not None and bool(self.trial.is_saving)


class RememberingBrackets(Guarded):
    """Lets Hyperband go on with the brackets that it had when the sweep was interrupted.

    They are made again from the history: every trial of the plan is added in its order, every row judged in
    the order of time, and trials that ended by themselves leave. A trial that waited for the others of its
    bracket waits again, and one whose last row was enough to stop it is stopped.

    Args:
        hyperband, objective, grace: as for Guarded.
        trial_ids: of the plan, in its order.
        past: rows of earlier runs, and which trials are not run again.
    """

    def __init__(
        self,
        hyperband: HyperBandScheduler,
        objective: Objective,
        grace: int,
        trial_ids: Sequence[str],
        past: Past,
    ) -> None:
        super().__init__(hyperband, objective, grace)
        self._members: dict[str, Member] = {}
        replay = _Replay(hyperband)
        for trial_id in trial_ids:
            self._join(replay, trial_id)
        last = {trial_id: index for index, (trial_id, _) in enumerate(past.rows)}
        for index, (trial_id, row) in enumerate(past.rows):
            if trial_id in self._members:
                self._replay(replay, self._members[trial_id], row)
                if trial_id in past.ended and last[trial_id] == index:
                    self._leave(replay, self._members[trial_id])
        for trial_id in past.ended & self._members.keys():
            self._leave(replay, self._members[trial_id])
        for member in self._members.values():
            member.is_held = member.last_status == Trial.PAUSED

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        trial_id = str(trial)
        member = self._members.get(trial_id)
        if member is None or (member.is_out and member.last_status != Trial.TERMINATED):
            member = self._join(_Through(tune_controller), trial_id)  # new, or failed and tried again
        member.trial = trial
        if member.is_held:  # else Tune begins whatever is pending
            trial.set_status(Trial.PAUSED)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        member = self._members[str(trial)]
        if member.is_out:
            return str(TrialScheduler.STOP)
        return self._judge(_Through(tune_controller), member, result)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._leave(_Through(tune_controller), self._members[str(trial)])

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._leave(_Through(tune_controller), self._members[str(trial)])

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._leave(_Through(tune_controller), self._members[str(trial)])

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        for member in self._members.values():
            if member.trial is not None and member.is_out and member.status == Trial.PENDING:
                tune_controller.stop_trial(member.trial)  # the decision came too late for it then
        chosen: Member | None = self._scheduler.choose_trial_to_run(_Through(tune_controller))
        if chosen is None:
            return None
        chosen.is_held = False
        return chosen.trial

    def _join(self, controller: Any, trial_id: str) -> Member:
        member = self._members[trial_id] = Member(trial_id)
        self._scheduler.on_trial_add(controller, member)
        return member

    def _leave(self, controller: Any, member: Member) -> None:
        if not member.is_out:
            member.is_out = True
            self._scheduler.on_trial_remove(controller, member)

    def _judge(self, controller: Any, member: Member, row: Mapping[str, Any]) -> str:
        """What Hyperband says to a row; rows that are made again have been judged."""
        counted = self._counted(row)
        if counted is None or row[ENV_STEPS] <= member.env_steps:
            return str(TrialScheduler.CONTINUE)
        member.env_steps = row[ENV_STEPS]
        return str(self._scheduler.on_trial_result(controller, member, counted))

    def _replay(self, replay: _Replay, member: Member, row: Mapping[str, Any]) -> None:
        if member.is_out:
            return
        member.last_status = Trial.RUNNING
        decision = self._judge(replay, member, row)
        if decision == TrialScheduler.STOP:
            self._leave(replay, member)
            member.last_status = Trial.TERMINATED
        elif decision == TrialScheduler.PAUSE:
            member.last_status = Trial.PAUSED


class _Replay:
    """Tune's controller while a history is replayed."""

    def __init__(self, scheduler: TrialScheduler) -> None:
        self._scheduler = scheduler

    def stop_trial(self, member: Member) -> None:
        member.is_out = True
        member.last_status = Trial.TERMINATED
        self._scheduler.on_trial_remove(self, member)


class _Through:
    """Tune's controller for a scheduler that knows members."""

    def __init__(self, tune_controller: Any) -> None:
        self._tune_controller = tune_controller

    def stop_trial(self, member: Member) -> None:
        member.is_held = False
        self._tune_controller.stop_trial(member.trial)
