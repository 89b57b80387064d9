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
from filelock import FileLock, Timeout
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from callbacks.driver.console import SweepConsole
from callbacks.driver.history import History
from rlsweep.errors import PreflightError, SweepInterruptedError
from rlsweep.plan import Machine, Plan
from rlsweep.rl import preflight
from rlsweep.run.manifest import continue_run
from rlsweep.run.tracking import check_tracking, mlflow_tracker
from rlsweep.run.trial import trainable_for
from rlsweep.spec import AshaSpec, Sweep
from rlsweep.store import rows
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import INTERRUPTED, PENDING, RUNNING, TRIAL_ID, Manifest, TrialRecord

_RAY_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the history callback writes the history
    "RAY_AIR_NEW_OUTPUT": "0",  # our console speaks
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_preload_python_modules": "torch,ray.rllib.algorithms.ppo",  # imports before a trial needs them
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


def launch(plan: Plan, storage: Storage, *, profile: str = "", supersede: bool = False) -> Manifest:
    """Run every trial of a plan that has not ended yet.

    A trial that ended before, with the same spec and seed, is not run again. One that was interrupted or
    whose spec has changed starts anew; its old folder moves to `superseded/`, its old run to MLflow's
    deleted ones.

    Args:
        plan: made for the machine of the running `ray_session`.
        storage: where the run folder and the embedded MLflow store lie.
        profile: name of the spec's profile, noted in the manifest.
        supersede: set aside ended trials of another spec under the same name, instead of refusing.

    Returns:
        The manifest with each trial's status.

    Raises:
        PreflightError: a trial cannot run on this machine, another process is running this sweep, or the
            run holds ended trials of another spec.
        SweepInterruptedError: the user stopped it; trials that have ended are kept.
    """
    preflight.check(plan)
    check_tracking(storage)
    layout = storage.run(plan.sweep.name)
    layout.root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(layout.lock, timeout=0):
            return _launch(plan, storage, layout, profile, supersede)
    except Timeout:
        raise PreflightError(f"{layout.root} is in use: another process runs this sweep") from None


def _launch(plan: Plan, storage: Storage, layout: RunLayout, profile: str, supersede: bool) -> Manifest:
    before = Manifest.read(layout) if layout.manifest.exists() else None
    continuation = continue_run(plan, before, profile)
    if continuation.lost and not supersede:
        raise PreflightError(
            f"{layout.root} holds {len(continuation.lost)} ended trials of another spec, first "
            f"{continuation.lost[0].id}; give this one another name (--set name=…), or set them aside with "
            "--supersede"
        )
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
    _raise_if_interrupted(manifest, layout)
    return manifest


def _raise_if_interrupted(manifest: Manifest, layout: RunLayout) -> None:
    """Tune takes the first Ctrl-C for an order to stop, and returns as if all were done."""
    unended = [record for record in manifest.trials if record.status in (PENDING, RUNNING)]
    if unended:
        for record in unended:
            record.status = INTERRUPTED if record.status == RUNNING else PENDING
        manifest.write(layout)
        raise SweepInterruptedError(
            f"stopped with {len(unended)} trials to go; the same command starts those anew and keeps the rest"
        )


def _set_aside(folders: list[Path], layout: RunLayout) -> None:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for folder in folders:
        if folder.exists():
            target = layout.superseded / f"{folder.name}-{moment}"
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
