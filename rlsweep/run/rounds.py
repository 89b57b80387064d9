"""The rounds of a sweep under Tune: the search, then the trials that confirm its best."""

from __future__ import annotations

import json
import logging
import signal
from typing import Any

from ray import tune
from ray.exceptions import OutOfMemoryError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from analysis.comparison import compare
from analysis.history import read_summary
from analysis.own_rows import read_rows
from analysis.reading import last_row
from callbacks.driver.console import SweepConsole
from callbacks.driver.diagnose import Diagnose
from callbacks.driver.gauges import SweepGauges
from callbacks.driver.history import History
from callbacks.driver.signals import StopSignals
from rlsweep.errors import RunError
from rlsweep.plan import Plan, PlannedTrial
from rlsweep.plan.estimate import num_to_keep
from rlsweep.rl import preflight
from rlsweep.rl.callbacks import driver_callbacks
from rlsweep.run.disk import DiskWatch
from rlsweep.run.going_on import tune_config
from rlsweep.run.kills import Kills
from rlsweep.run.manifest import Continuation, known_results, new_record
from rlsweep.run.memory import RAY_KILLED, MemoryWatch
from rlsweep.run.nodes import Capacity
from rlsweep.run.past import read_past
from rlsweep.run.pending import PendingTrials
from rlsweep.run.retrying import Retrying
from rlsweep.run.schedulers import make_scheduler
from rlsweep.run.searching import ConfigurationSearch
from rlsweep.run.stalls import Stalls
from rlsweep.run.standing import Standing
from rlsweep.run.stopping import Halt
from rlsweep.run.sweep_figures import FiguresOfSweep
from rlsweep.run.tracking import TrackedRun
from rlsweep.run.trial import MakeTrainable
from rlsweep.run.tune_settings import Listed, checkpoint_config, tune_settings
from rlsweep.run.unended import Unended
from rlsweep.run.wrapped_schedulers import Halting
from rlsweep.spec import ConfirmSpec
from rlsweep.spec.sweep import CONFIRMING_SEEDS
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import (
    CONFIRM,
    ENDED,
    FAILED,
    PENDING,
    SEARCH,
    TRIAL,
    TrialRecord,
)
from rlsweep.store.rows import SECONDS

logger = logging.getLogger(__name__)


class Rounds:
    """The rounds of one sweep under Tune: the search, then the trials that confirm its best.

    Args:
        plan, continuation: what there is to do, and what the run folder holds of it.
        layout, storage: of the run.
        make_trainable: gives the class of its trials.

    Attributes:
        is_tracked: MLflow has all of the last round.
        limit: of the spec, which has cut the sweep off, as words; empty where none has.
    """

    def __init__(
        self,
        plan: Plan,
        continuation: Continuation,
        layout: RunLayout,
        storage: Storage,
        make_trainable: MakeTrainable,
    ) -> None:
        self._plan = plan
        self._make_trainable = make_trainable
        self._continuation = continuation
        self._manifest = continuation.manifest
        self._layout = layout
        self._storage = storage
        self.is_tracked = True
        self.limit = ""
        self._given: set[str] = set()
        self._compared = continuation.manifest.objectives[0].on_the_way
        self._capacity = Capacity(plan)
        self._halt = Halt(plan, gpu_seconds=self._seconds_of_earlier_runs() * plan.resources.gpus)
        keep, is_listed = num_to_keep(plan.sweep), plan.sweep.search.is_listed
        self._standing = Standing(self._manifest, layout, self._halt, keep, is_listed=is_listed)

    def search(self) -> None:
        """Run the trials of the search that have not ended.

        Raises:
            SweepInterruptedError: the user stopped it.
        """
        if self._plan.sweep.search.is_listed:
            if self._continuation.waiting:
                self._run_listed(self._continuation.waiting, self._scheduler())
            return
        known = known_results(self._manifest, self._layout)
        searcher = ConfigurationSearch(
            self._plan, self._manifest.objectives, self._add, self._capacity, known
        )
        settings = tune_settings(self._plan, self._scheduler())
        settings.search_alg, settings.num_samples = searcher, -1
        # Else Tune starts one process at a time, and gives it up when a trial ends first and leaves its own.
        settings.max_concurrent_trials = self._plan.trials_at_once  # the searcher keeps to the nodes
        self._fit({}, settings, self._plan.num_trials)

    def confirm(self, confirm: ConfirmSpec) -> None:
        """Run the best configurations of the search again, with new seeds and to their own stop; unless a
        limit of the spec is reached.

        Raises:
            SweepInterruptedError: the user stopped it.
        """
        if self.limit:
            return
        run = read_summary(self._layout)
        best = [found for found in compare(run, SEARCH) if found.valid_seeds][: confirm.top]
        chosen = [self._manifest.trial(trial.trial_id).values for one in best for trial in one.trials]
        distinct = {json.dumps(values, sort_keys=True): values for values in chosen}  # one for each game
        seeds = range(CONFIRMING_SEEDS, CONFIRMING_SEEDS + confirm.seeds)
        trials = [self._plan.trial(values, seed) for seed in seeds for values in distinct.values()]
        ended = {record.id for record in self._manifest.trials if record.status in (*ENDED, FAILED)}
        waiting = [trial for trial in trials if trial.id not in ended]
        if waiting and self._halt.reason:
            self.limit = self._halt.reason
        elif waiting:
            records = [self._manifest.add(new_record(trial, CONFIRM)) for trial in waiting]
            self._manifest.write(self._layout)
            self._run_listed(records, FIFOScheduler())

    def _add(self, trial: PlannedTrial) -> dict[str, Any]:
        preflight.check_trial(trial)
        record = self._manifest.add(new_record(trial))
        self._standing.note_change(at_once=True)
        return self._begin(record)

    def _scheduler(self) -> TrialScheduler:
        waiting = [record.id for record in self._continuation.waiting]
        return make_scheduler(self._plan, read_past(self._layout, waiting))

    def _begin(self, record: TrialRecord) -> dict[str, Any]:
        """The Tune configuration of a trial, which goes on where it has a checkpoint."""
        self._given.add(record.id)
        return tune_config(record, self._layout, self._compared, num_to_keep(self._plan.sweep))

    def _seconds_of_earlier_runs(self) -> float:
        begun = [record.id for record in self._manifest.trials if record.status != PENDING]
        rows = (last_row(read_rows(self._layout.result_json(trial_id))[0]) for trial_id in begun)
        return sum(float(row[SECONDS]) for row in rows if row)

    def _run_listed(self, waiting: list[TrialRecord], scheduler: TrialScheduler) -> None:
        trials = [self._begin(record)[TRIAL] for record in waiting]
        most = self._plan.sweep.resources.max_concurrent
        settings = tune_settings(self._plan, scheduler)
        settings.max_concurrent_trials = None if most == "auto" else most
        settings.num_samples = len(trials)
        self._fit({TRIAL: Listed(trials)}, settings, len(waiting))

    def _fit(self, param_space: dict[str, Any], settings: tune.TuneConfig, num_trials: int) -> None:
        sweep = self._plan.sweep
        signals = StopSignals(self._on_signal)
        history = History(self._layout, self._standing.note)
        tracker = TrackedRun(self._manifest, self._layout, self._storage).tracker()
        console = SweepConsole(sweep.name, num_trials, sweep.stop.env_steps)
        figures = FiguresOfSweep(self._manifest, self._layout, self._halt)
        callbacks: list[tune.Callback] = [
            signals,
            history,
            SweepGauges(sweep.name, figures),  # before the tracker: at the end that waits for MLflow
            self._standing,
            tracker,
            console,
        ]
        kills = Kills()
        callbacks += self._watches(kills)
        callbacks += [Diagnose([history.tell, console.tell]), *driver_callbacks(sweep.callbacks)]
        failures = [history.tell_failure, console.tell_failure]
        retrying = Retrying(settings.scheduler, self._plan, self._halt, kills, failures)
        settings.scheduler = Halting(Unended(retrying), self._halt)
        run_config = tune.RunConfig(
            name=sweep.name,
            storage_path=self._storage.address,
            callbacks=callbacks,
            stop=self._halt,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=-1),  # `Retrying` knows how often
            checkpoint_config=checkpoint_config(),
        )
        trainable = self._make_trainable(self._plan)
        tuner = tune.Tuner(trainable, param_space=param_space, tune_config=settings, run_config=run_config)
        self._run(tuner, signals)
        self.is_tracked = tracker.is_whole
        is_cut_off = self._standing.close(self._given, "stopped") or self._has_proposals_left()
        self.limit = self._halt.reason if is_cut_off else ""

    def _watches(self, kills: Kills) -> list[tune.Callback]:
        """What looks after processes, memory, nodes and disks."""
        sweep = self._plan.sweep
        # Where checkpoints go to a storage behind a URI, no disk fills up with them.
        watched = [] if self._storage.remote else [self._storage.root]
        disks = [DiskWatch(one, sweep.checkpoints.min_free, self._standing.thin_ended) for one in watched]
        pending = PendingTrials(self._plan, self._capacity)
        return [Stalls(kills, sweep.failures.stall), MemoryWatch(kills), pending, *disks]

    def _run(self, tuner: tune.Tuner, signals: StopSignals) -> None:
        try:
            tuner.fit()
        except KeyboardInterrupt:
            signals.restore()
            self._standing.close(self._given, "left at once")
            raise
        except RuntimeError as error:
            if isinstance(error.__cause__, OutOfMemoryError):
                raise RunError(RAY_KILLED) from None
            raise
        finally:
            self._standing.write()

    def _has_proposals_left(self) -> bool:
        searched = sum(record.phase == SEARCH for record in self._manifest.trials)
        return searched < self._plan.num_trials

    def _on_signal(self, number: int) -> None:
        self._halt.signal = number
        logger.warning(
            "%s: every trial that runs makes one more row and a checkpoint (again to leave at once)",
            signal.Signals(number).name,
        )
