"""`launch`: a plan under Ray Tune, from `ray.init` to the last trial's end."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from callbacks.driver.console import SweepConsole
from callbacks.driver.history import History
from rlsweep.errors import SweepInterruptedError
from rlsweep.plan import Machine, Plan
from rlsweep.rl import preflight
from rlsweep.run.manifest import continue_run
from rlsweep.run.tracking import mlflow_tracker
from rlsweep.run.trial import TRIAL_ID, trainable_for
from rlsweep.spec import AshaSpec, Sweep
from rlsweep.store import rows
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import PENDING, RUNNING, Manifest, TrialRecord

SUPERSEDED = "superseded"

_RAY_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the history callback writes the history
    "RAY_AIR_NEW_OUTPUT": "0",  # our console speaks
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_preload_python_modules": "torch,ray.rllib.algorithms.ppo",  # imports before a trial needs them
    "TUNE_MAX_PENDING_TRIALS_PG": "16",
}


_LOG_LEVELS = {
    "ray.tune": logging.CRITICAL,  # a failed trial's trace goes to its error.txt, its reason to the console
    "ray.rllib": logging.ERROR,
    "ray.train": logging.ERROR,
    "mlflow": logging.WARNING,
}


@contextmanager
def ray_session() -> Iterator[Machine]:
    """Ray for the time of the block: the cluster of RAY_ADDRESS, or one started here and ended after.

    Yields:
        What it can hand out.
    """
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    is_local = not os.environ.get("RAY_ADDRESS")
    arguments: dict[str, Any] = {"include_dashboard": False} if is_local else {}
    ray.init(logging_level=logging.ERROR, log_to_driver=False, **arguments)
    for name, level in _LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    try:
        available = ray.cluster_resources()
        yield Machine(cpus=int(available.get("CPU", 0)), gpus=available.get("GPU", 0.0))
    finally:
        ray.shutdown()


def launch(plan: Plan, storage: Storage) -> Manifest:
    """Run every trial of a plan that has not ended yet.

    A trial that ended before, with the same spec and seed, is not run again. One that was interrupted or
    whose spec has changed starts anew; its old folder moves to `superseded/`, its old run to MLflow's
    deleted ones.

    Args:
        plan: made for the machine of the running `ray_session`.
        storage: where the run folder and the embedded MLflow store lie.

    Returns:
        The manifest with each trial's status.

    Raises:
        PreflightError: a trial cannot run on this machine.
        SweepInterruptedError: the user stopped it; running trials keep their last checkpoint.
    """
    preflight.check(plan)
    layout = storage.run(plan.sweep.name)
    before = Manifest.read(layout) if layout.manifest.exists() else None
    continuation = continue_run(plan, before)
    manifest, waiting = continuation.manifest, continuation.waiting
    _set_aside([layout.trial(record.id) for record in [*continuation.superseded, *waiting]], layout)
    manifest.write(layout)
    if not waiting:
        return manifest

    def on_status(trial_id: str, status: str) -> None:
        manifest.trial(trial_id).status = status
        manifest.write(layout)

    params = {record.id: {"values": record.values, "seed": record.seed} for record in waiting}
    goals = {record.id: plan.trial(record.id).sweep.stop.env_steps for record in waiting}
    callbacks = [
        History(layout, params, on_status),
        mlflow_tracker(plan, continuation, layout, storage),
        SweepConsole(plan.sweep.name, goals),
    ]
    _tuner(plan, waiting, storage, callbacks).fit()
    if any(record.status in (PENDING, RUNNING) for record in manifest.trials):
        # Tune takes the first Ctrl-C for an order to stop, and returns as if all were done.
        raise SweepInterruptedError("stopped; the same command goes on from here")
    return manifest


def _set_aside(folders: list[Path], layout: RunLayout) -> None:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for folder in folders:
        if folder.exists():
            target = layout.root / SUPERSEDED / f"{folder.name}-{moment}"
            target.parent.mkdir(exist_ok=True)
            shutil.move(folder, target)


def _tuner(
    plan: Plan, waiting: list[TrialRecord], storage: Storage, callbacks: list[tune.Callback]
) -> tune.Tuner:
    sweep = plan.sweep
    max_concurrent = sweep.resources.max_concurrent
    return tune.Tuner(
        trainable_for(plan),
        param_space={TRIAL_ID: tune.grid_search([record.id for record in waiting])},
        tune_config=tune.TuneConfig(
            scheduler=_scheduler(sweep),
            max_concurrent_trials=None if max_concurrent == "auto" else max_concurrent,
            reuse_actors=True,
            trial_name_creator=lambda trial: str(trial.config[TRIAL_ID]),
            trial_dirname_creator=lambda trial: str(trial.config[TRIAL_ID]),
        ),
        run_config=tune.RunConfig(
            name=sweep.name,
            storage_path=str(storage.root.resolve()),
            callbacks=callbacks,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=sweep.failures.max_retries),
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=sweep.checkpoints.keep,
                checkpoint_score_attribute=sweep.objective.metric,
                checkpoint_score_order=_mode(sweep),
                checkpoint_at_end=True,
            ),
        ),
    )


def _scheduler(sweep: Sweep) -> TrialScheduler:
    if isinstance(sweep.scheduler, AshaSpec):
        return AsyncHyperBandScheduler(
            time_attr=rows.ENV_STEPS,
            metric=sweep.objective.metric,
            mode=_mode(sweep),
            grace_period=sweep.scheduler.grace,
            max_t=sweep.stop.env_steps,
            reduction_factor=sweep.scheduler.reduction_factor,
        )
    return FIFOScheduler()


def _mode(sweep: Sweep) -> str:
    return {"maximize": "max", "minimize": "min"}[sweep.objective.goal]
