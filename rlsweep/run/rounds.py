"""The rounds of a sweep under Tune: the search, then the trials that confirm its best."""

from __future__ import annotations

from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from analysis.comparison import compare, last_row
from analysis.history import read_summary
from analysis.own_rows import read_rows
from callbacks.driver.console import SweepConsole
from callbacks.driver.diagnose import Diagnose
from callbacks.driver.history import History
from rlsweep.errors import SweepInterruptedError
from rlsweep.plan import Plan, PlannedTrial
from rlsweep.plan.estimate import num_to_keep
from rlsweep.plan.plan import trial_id
from rlsweep.rl import preflight
from rlsweep.rl.callbacks import driver_callbacks
from rlsweep.run.manifest import Continuation, known_results, new_record, objectives
from rlsweep.run.schedulers import make_scheduler
from rlsweep.run.searching import ConfigurationSearch
from rlsweep.run.stopping import Budget
from rlsweep.run.tracking import TrackedRun
from rlsweep.run.trial import trainable_for
from rlsweep.spec import ASYNCHRONOUS, ConfirmSpec, Sweep
from rlsweep.spec.sweep import CONFIRMING_SEEDS
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import (
    CONFIRM,
    ENDED,
    INTERRUPTED,
    PENDING,
    RUNNING,
    SEARCH,
    STOPPED,
    TRIAL,
    TrialRecord,
)
from rlsweep.store.rows import SECONDS


class Rounds:
    """The rounds of one sweep under Tune: the search, then the trials that confirm its best.

    Args:
        plan, continuation: what there is to do, and what the run folder holds of it.
        layout, storage: of the run.

    Attributes:
        is_tracked: MLflow has all of the last round.
    """

    def __init__(self, plan: Plan, continuation: Continuation, layout: RunLayout, storage: Storage) -> None:
        self._plan = plan
        self._continuation = continuation
        self._manifest = continuation.manifest
        self._layout = layout
        self._storage = storage
        self.is_tracked = True
        self._budget = Budget(plan, gpu_seconds=self._seconds_of_earlier_runs() * plan.resources.gpus)

    @property
    def spent(self) -> str:
        """What of the sweep's budget is spent, as words; empty while something is left."""
        return self._budget.spent

    def search(self) -> None:
        """Run the trials of the search that have not ended.

        Raises:
            SweepInterruptedError: the user stopped it.
        """
        if self._plan.sweep.search.is_listed:
            if self._continuation.waiting:
                self._run_listed(self._continuation.waiting, make_scheduler(self._plan))
            return
        known = known_results(self._manifest, self._layout)
        searcher = ConfigurationSearch(self._plan, self._manifest.objectives, self._add, known)
        tune_config = self._tune_config(make_scheduler(self._plan))
        tune_config.search_alg, tune_config.num_samples = searcher, -1
        # Else Tune starts one process at a time, and gives it up when a trial ends first and leaves its own.
        tune_config.max_concurrent_trials = self._plan.max_concurrent
        self._fit({}, tune_config, self._plan.num_trials)

    def confirm(self, confirm: ConfirmSpec) -> None:
        """Run the best configurations of the search again, with new seeds and to their own stop.

        Raises:
            SweepInterruptedError: the user stopped it.
        """
        run = read_summary(self._layout)
        best = [found.trials[0].trial_id for found in compare(run, SEARCH) if found.valid_seeds][
            : confirm.top
        ]
        waiting = []
        for seed in range(CONFIRMING_SEEDS, CONFIRMING_SEEDS + confirm.seeds):
            for chosen in best:
                trial = self._plan.trial(self._manifest.trial(chosen).values, seed)
                record = self._manifest.add(new_record(trial, CONFIRM))
                if record.status not in ENDED:
                    waiting.append(record)
        self._manifest.write(self._layout)
        if waiting:
            self._run_listed(waiting, FIFOScheduler())

    def _add(self, trial: PlannedTrial) -> None:
        preflight.check_trial(trial)
        self._manifest.add(new_record(trial))
        self._manifest.write(self._layout)

    def _seconds_of_earlier_runs(self) -> float:
        ended = [record.id for record in self._manifest.trials if record.status in ENDED]
        rows = (last_row(read_rows(self._layout.result_json(trial_id))[0]) for trial_id in ended)
        return sum(float(row[SECONDS]) for row in rows if row)

    def _run_listed(self, waiting: list[TrialRecord], scheduler: TrialScheduler) -> None:
        trials = [{"values": record.values, "seed": record.seed} for record in waiting]
        most = self._plan.sweep.resources.max_concurrent
        tune_config = self._tune_config(scheduler)
        tune_config.max_concurrent_trials = None if most == "auto" else most
        self._fit({TRIAL: tune.grid_search(trials)}, tune_config, len(waiting))

    def _fit(self, param_space: dict[str, Any], tune_config: tune.TuneConfig, num_trials: int) -> None:
        sweep = self._plan.sweep
        history = History(self._layout, self._on_status)
        tracker = TrackedRun(self._manifest, self._layout, self._storage).tracker()
        console = SweepConsole(sweep.name, num_trials, sweep.stop.env_steps)
        tune.Tuner(
            trainable_for(self._plan),
            param_space=param_space,
            tune_config=tune_config,
            run_config=tune.RunConfig(
                name=sweep.name,
                storage_path=str(self._storage.root.resolve()),
                callbacks=[
                    history,
                    tracker,
                    console,
                    Diagnose([history.tell, console.tell]),
                    *driver_callbacks(sweep.callbacks),
                ],
                stop=self._budget,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=sweep.failures.max_retries),
                checkpoint_config=_checkpoint_config(sweep),
            ),
        ).fit()
        self.is_tracked = tracker.is_whole
        self._raise_if_unended()

    def _tune_config(self, scheduler: TrialScheduler) -> tune.TuneConfig:
        return tune.TuneConfig(
            scheduler=scheduler,
            reuse_actors=not leaves_threads(self._plan),
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        )

    def _on_status(self, trial_id: str, status: str) -> None:
        is_cut_off = status == STOPPED and self._budget.spent
        self._manifest.trial(trial_id).status = INTERRUPTED if is_cut_off else status
        self._manifest.write(self._layout)

    def _raise_if_unended(self) -> None:
        """Tune takes the first Ctrl-C for an order to stop, and returns as if all were done."""
        unended = [
            record for record in self._manifest.trials if record.status in (PENDING, RUNNING, INTERRUPTED)
        ]
        for record in unended:
            record.status = PENDING if record.status == PENDING else INTERRUPTED
        self._manifest.write(self._layout)
        if unended and not self.spent:
            raise SweepInterruptedError(
                f"stopped with {len(unended)} trials to go; "
                "the same command starts those anew and keeps the rest"
            )


def _name(trial: Trial) -> str:
    return trial_id(**trial.config[TRIAL])


def leaves_threads(plan: Plan) -> bool:
    """Whether a trial leaves something in its process, which therefore must end with it.

    With IMPALA and APPO RLlib starts threads that load batches onto the GPU. They never end, and hold what
    they have loaded.
    """
    resources = plan.resources
    learns_here = not resources.learners and resources.gpus_per_learner > 0
    return plan.sweep.algorithm in ASYNCHRONOUS and learns_here


def _checkpoint_config(sweep: Sweep) -> tune.CheckpointConfig:
    """The best checkpoints by the first objective; by the score where that one waits for a score."""
    compared = objectives(sweep)[0].on_the_way
    return tune.CheckpointConfig(
        num_to_keep=num_to_keep(sweep),
        checkpoint_score_attribute=compared.key,
        checkpoint_score_order="max" if compared.maximize else "min",
        checkpoint_at_end=True,
    )
