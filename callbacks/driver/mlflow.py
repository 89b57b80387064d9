"""MLflow tracking of a sweep: a parent run for the sweep, a child run for each trial.

Ours instead of Ray's MLflowLoggerCallback, which sends one request per metric, makes new runs after a
restore, takes the iteration for the x-axis, and ends the sweep when the server is away.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from ray.tune import Callback
from requests.exceptions import RequestException

from callbacks.driver.history import ending, history_row
from callbacks.driver.symptoms import Finding
from rlsweep.store.manifest import DIVERGED, FAILED, FINISHED, INTERRUPTED, STOPPED, TRIAL
from rlsweep.store.rows import ENV_STEPS, ITERATION, PHASE_NAME, TIMESTAMP

logger = logging.getLogger(__name__)

MAX_METRICS_PER_BATCH = 1000
MAX_PARAM_LENGTH = 6000
"""Limits of MLflow's log-batch request."""

FLUSH_SECONDS = 5.0
"""Rows are gathered so long before they are sent."""

PAUSE_SECONDS = 60.0
"""After a failure nothing is sent for so long: the sweep must not wait for a server that is away."""

_CLIENT_SETTINGS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""MLflow's own (7 retries, 120 s) would hold the driver for minutes; the environment can say otherwise."""

STATUS_TAG = "rlsweep.status"
PHASE_TAG = "rlsweep.phase"
"""Tag of a child run: the phase of the curriculum that it is in."""

FINDING_TAG = "rlsweep.diagnosis."
"""Prefix of a child run's tags: the name of a symptom follows."""

SPEC_ARTIFACT = "spec.yaml"

_NOT_METRICS = {ITERATION, TIMESTAMP, ENV_STEPS}
_RUN_STATUS = {FINISHED: "FINISHED", STOPPED: "FINISHED", DIVERGED: "FAILED", FAILED: "FAILED"}
_UNREACHABLE = (MlflowException, RequestException, OSError)


@dataclass(frozen=True)
class TrackedTrial:
    """What MLflow is told of a trial.

    Attributes:
        name: of its run in the UI.
        params: swept values, seed, algorithm, environment, network.
        tags: for grouping: config_id, seed, trial id.
        run_id: of the run it has already; empty before it has one.
    """

    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    run_id: str = ""


@dataclass
class TrackedSweep:
    """What MLflow is told of the sweep.

    Attributes:
        name: of the experiment and of the parent run.
        spec_yaml: the resolved spec, kept as the artifact `spec.yaml`.
        tags: versions, spec hash, git commit, description; children get them too.
        describe: a trial's values and seed -> what MLflow is told of it.
        parent_run_id: of the parent that is there already; empty before.
        superseded_run_ids: child runs of earlier attempts, to be moved to the deleted ones.
    """

    name: str
    spec_yaml: str
    tags: Mapping[str, str]
    describe: Callable[[Mapping[str, Any], int], TrackedTrial]
    parent_run_id: str = ""
    superseded_run_ids: tuple[str, ...] = ()


@dataclass
class _Run:
    """An open child run and what it has not sent yet."""

    run_id: str
    pending: list[Metric] = field(default_factory=list)
    phase: str = ""
    tags: list[RunTag] = field(default_factory=list)


class MLflowTracker(Callback):
    """Sends a sweep to an MLflow store; the sweep goes on when the store does not answer.

    Args:
        sweep: what to track.
        tracking_uri: a store or server; always explicit, MLflow's default depends on the folder.
        artifact_location: for the embedded store, None lets the server decide.
        on_run: called with a trial id (empty for the parent) and the run id that was made for it.
    """

    def __init__(
        self,
        sweep: TrackedSweep,
        tracking_uri: str,
        artifact_location: Path | None,
        on_run: Callable[[str, str], None],
    ) -> None:
        self._sweep = sweep
        self._tracking_uri = tracking_uri
        self._artifact_location = artifact_location
        self._on_run = on_run
        self._runs: dict[str, _Run] = {}
        self._parent_run_id = sweep.parent_run_id
        self._experiment_id = ""
        self._next_flush = time.monotonic()
        self._has_warned = False

    def setup(
        self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **info: Any
    ) -> None:
        # Not in the constructor: Tune pickles its callbacks before the sweep starts.
        for name, value in _CLIENT_SETTINGS.items():
            os.environ.setdefault(name, value)
        self._client = MlflowClient(self._tracking_uri)
        try:
            self._experiment_id = self._find_experiment()
            self._open_parent()
            for run_id in self._sweep.superseded_run_ids:
                self._client.delete_run(run_id)
        except _UNREACHABLE as error:
            self._warn(error)

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        try:
            self._run(str(trial), trial.config[TRIAL])
        except _UNREACHABLE as error:
            self._warn(error)

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        run = self._runs.get(str(trial))
        if run is not None:
            run.pending += metrics_of(history_row(result))
            phase = result.get(PHASE_NAME, "")
            if phase != run.phase:
                run.phase = phase
                run.tags.append(RunTag(PHASE_TAG, phase))
        if time.monotonic() >= self._next_flush:
            self._flush()

    def note(self, trial_id: str, finding: Finding) -> None:
        """A tag for what `Diagnose` has found in a trial."""
        run = self._runs.get(trial_id)
        if run is not None:
            run.tags.append(RunTag(FINDING_TAG + finding.name, f"{finding.cause}; {finding.remedy}"))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._close(str(trial), ending(trial))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._close(str(trial), FAILED)

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        for trial_id in list(self._runs):
            self._close(trial_id, INTERRUPTED)
        is_whole = all(trial.status == "TERMINATED" for trial in trials)
        try:
            if self._parent_run_id:
                self._client.set_terminated(self._parent_run_id, "FINISHED" if is_whole else "FAILED")
        except _UNREACHABLE as error:
            self._warn(error)

    def _find_experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._sweep.name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        location = self._artifact_location
        uri = (location / self._sweep.name).as_uri() if location is not None else None
        return str(self._client.create_experiment(self._sweep.name, artifact_location=uri))

    def _open_parent(self) -> None:
        tags = resolve_tags() | dict(self._sweep.tags) | {MLFLOW_RUN_NAME: self._sweep.name}
        if self._parent_run_id and self._is_there(self._parent_run_id):
            self._client.update_run(self._parent_run_id, "RUNNING")
            run_tags = [RunTag(key, value) for key, value in tags.items()]
            self._client.log_batch(self._parent_run_id, tags=run_tags)
        else:
            self._parent_run_id = self._client.create_run(self._experiment_id, tags=tags).info.run_id
            self._on_run("", self._parent_run_id)
        self._client.log_text(self._parent_run_id, self._sweep.spec_yaml, SPEC_ARTIFACT)

    def _is_there(self, run_id: str) -> bool:
        return bool(self._client.get_run(run_id).info.lifecycle_stage == "active")

    def _run(self, trial_id: str, config: Mapping[str, Any]) -> None:
        """Open the child run of a trial: the one it has, or a new one."""
        if trial_id in self._runs:
            return
        trial = self._sweep.describe(config["values"], config["seed"])
        run_id = trial.run_id
        if run_id:
            self._client.update_run(run_id, "RUNNING")
        else:
            tags = resolve_tags() | dict(self._sweep.tags) | dict(trial.tags)
            tags |= {MLFLOW_PARENT_RUN_ID: self._parent_run_id, MLFLOW_RUN_NAME: trial.name}
            run_id = self._client.create_run(self._experiment_id, tags=tags).info.run_id
            params = [Param(key, str(value)[:MAX_PARAM_LENGTH]) for key, value in trial.params.items()]
            self._client.log_batch(run_id, params=params)
            self._on_run(trial_id, run_id)
        self._runs[trial_id] = _Run(run_id)

    def _flush(self) -> None:
        self._next_flush = time.monotonic() + FLUSH_SECONDS
        for run in self._runs.values():
            self._send(run)

    def _send(self, run: _Run) -> None:
        try:
            while run.pending or run.tags:
                batch = run.pending[:MAX_METRICS_PER_BATCH]
                self._client.log_batch(run.run_id, metrics=batch, tags=run.tags)
                del run.pending[: len(batch)]
                run.tags = []
        except _UNREACHABLE as error:
            self._warn(error)

    def _close(self, trial_id: str, status: str) -> None:
        run = self._runs.pop(trial_id, None)
        if run is None:
            return
        self._send(run)
        try:
            self._client.log_batch(run.run_id, tags=[RunTag(STATUS_TAG, status)])
            self._client.set_terminated(run.run_id, _RUN_STATUS.get(status, "KILLED"))
        except _UNREACHABLE as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        self._next_flush = time.monotonic() + PAUSE_SECONDS
        if not self._has_warned:
            self._has_warned = True
            logger.warning("MLflow does not answer, the sweep goes on without it: %s", error)


def metrics_of(row: Mapping[str, Any]) -> list[Metric]:
    """The numbers of a history row as MLflow points: env steps on the x-axis, the row's own time."""
    step, milliseconds = int(row[ENV_STEPS]), int(row[TIMESTAMP]) * 1000
    return [
        Metric(key, float(value), milliseconds, step)
        for key, value in row.items()
        if key not in _NOT_METRICS and isinstance(value, (int, float)) and math.isfinite(value)
    ]
