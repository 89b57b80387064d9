"""A run's files as runs of MLflow: a parent for the sweep, below it a child for each trial.

The history on disk is the truth. What an MLflow store holds is made from it, while the sweep runs or at any
time later, as often as wanted: a run is found again by its key, and points go on where they ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from mlflow.entities import Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from callbacks.driver.points import Chosen, Position
from rlsweep.store.credentials import without_credentials

MAX_METRICS_PER_BATCH = 900
MAX_PARAMS_PER_BATCH = 100
MAX_PARAM_LENGTH = 6000
MAX_TAG_LENGTH = 5000
"""Limits of MLflow's log-batch request: 1,000 of all kinds, of which 100 are left to tags. Points and the
position after them must arrive in one request."""

KEY_TAG = "rlsweep.key"
"""By this a run is found again, so that none is made twice."""

POSITION_TAG = "rlsweep.position"
"""How far a child's points go: the `Position` in its result.json."""

SWEEP_TAG = "rlsweep.sweep"
"""Name of the sweep that a run belongs to."""

RUNNING, FINISHED, KILLED = "RUNNING", "FINISHED", "KILLED"


@dataclass(frozen=True)
class TrackedTrial:
    """A trial as MLflow shall show it.

    Attributes:
        id, key: of the trial, and of its run in MLflow.
        name: of the run in the UI.
        params: swept values, seed, algorithm, environment, network.
        tags: for grouping and reading: config_id, seed, how it stands in words.
        status: RUNNING, FINISHED, FAILED or KILLED.
        history: its result.json.
        hyperparameters: all that were in force, defaults of RLlib too.
        run_id: of its run; empty where that is not known.
    """

    id: str
    key: str
    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    status: str
    history: Path
    hyperparameters: Mapping[str, Any]
    run_id: str = ""


@dataclass(frozen=True)
class TrackedSweep:
    """A sweep as MLflow shall show it.

    Attributes:
        name: of the parent run; and of the experiment, without `parent_run`.
        key: of the parent run.
        spec_yaml: the resolved spec, kept as the artifact `spec.yaml`.
        tags: versions, spec hash, git; children get them too.
        chosen: which keys of the rows become metrics.
        artifact_location: of a new experiment; None lets the server decide.
        system_metrics: those of the driver's node are wanted at the parent run while the sweep runs.
        superseded: keys of child runs of earlier attempts, to be moved to the deleted ones.
        run_id: of the parent run; empty where that is not known.
        parent_run: name of a run above the parent run, which several sweeps share, and of the experiment.
    """

    name: str
    key: str
    spec_yaml: str
    tags: Mapping[str, str]
    chosen: Chosen
    artifact_location: Path | None = None
    superseded: tuple[str, ...] = ()
    system_metrics: bool = False
    run_id: str = ""
    parent_run: str = ""


@dataclass
class _Child:
    run_id: str
    position: Position
    shown: dict[str, str] = field(default_factory=dict)
    status: str = ""


class Projection:
    """Brings MLflow in line with a run.

    Every method does what is not done yet, can be called again after it failed, and raises what MLflow or
    the network do.

    Args:
        sweep: what to show.
        tracking_uri: a store or server; always explicit, MLflow's default depends on the folder.

    Attributes:
        parent_run_id: empty until `open` has succeeded.
        run_ids: trial id -> its run.
    """

    def __init__(self, sweep: TrackedSweep, tracking_uri: str) -> None:
        self._sweep = sweep
        self._tracking_uri = tracking_uri
        self._children: dict[str, _Child] = {}
        self._shared_run_id = ""
        self.parent_run_id = ""

    @property
    def run_ids(self) -> dict[str, str]:
        """Trial id -> its child run, of those that were brought in line."""
        # A copy first: at the end of a sweep whoever asks may no longer wait for the thread that adds to it.
        return {trial_id: child.run_id for trial_id, child in list(self._children.items())}

    def open(self) -> None:
        """Find or make the experiment and the parent run; delete the runs of superseded trials."""
        if self.parent_run_id:
            return
        self._client = MlflowClient(self._tracking_uri)
        self._experiment_id = self._find_experiment()
        tags = {**resolve_tags(), **self._sweep.tags, MLFLOW_RUN_NAME: self._sweep.name}
        if self._sweep.parent_run:
            self._shared_run_id = tags[MLFLOW_PARENT_RUN_ID] = self._open_shared(self._sweep.parent_run)
        parent = self._find(self._sweep.run_id, self._sweep.key)
        if parent is None:
            parent = self._create(self._sweep.key, tags)
        else:
            self._client.update_run(parent.info.run_id, RUNNING)
            self._client.log_batch(parent.info.run_id, tags=_run_tags(tags))
        self._client.log_text(parent.info.run_id, self._sweep.spec_yaml, "spec.yaml")
        for key in self._sweep.superseded:
            run = self._find("", key)
            if run is not None:
                self._client.delete_run(run.info.run_id)
        self.parent_run_id = parent.info.run_id

    def bring(self, trial: TrackedTrial) -> None:
        """Send what the store does not have of a trial: its run, points, tags, status."""
        child = self._children.get(trial.id)
        if child is None:
            child = self._children[trial.id] = self._open_child(trial)
        if child.status != trial.status and trial.status == RUNNING:
            self._client.update_run(child.run_id, RUNNING)
            child.status = RUNNING
        while True:
            points, position = self._sweep.chosen.read(trial.history, child.position, MAX_METRICS_PER_BATCH)
            tags = {key: value for key, value in trial.tags.items() if child.shown.get(key) != value}
            if position == child.position and not tags:
                break
            tags_now = {**tags, POSITION_TAG: str(position)}
            self._client.log_batch(child.run_id, metrics=points, tags=_run_tags(tags_now))
            child.position = position
            child.shown |= tags
        if child.status != trial.status:
            self._client.set_terminated(child.run_id, trial.status)
            child.status = trial.status

    def end(self, status: str) -> None:
        """End the parent run: FINISHED, FAILED or KILLED; and the run above it with its last sweep."""
        self._client.set_terminated(self.parent_run_id, status)
        if self._shared_run_id:
            statuses = {run.info.status for run in self._tagged(MLFLOW_PARENT_RUN_ID, self._shared_run_id)}
            if RUNNING not in statuses:
                self._client.set_terminated(
                    self._shared_run_id, FINISHED if statuses == {FINISHED} else KILLED
                )

    def _open_child(self, trial: TrackedTrial) -> _Child:
        run = self._find(trial.run_id, trial.key)
        if run is None:
            tags = {**resolve_tags(), **self._sweep.tags, **trial.tags}
            tags |= {MLFLOW_PARENT_RUN_ID: self.parent_run_id, MLFLOW_RUN_NAME: trial.name}
            run = self._create(trial.key, tags)
        run_id, shown = run.info.run_id, dict(run.data.tags)
        if shown.get(MLFLOW_PARENT_RUN_ID) != self.parent_run_id:  # the parent was lost, and made again
            self._client.set_tag(run_id, MLFLOW_PARENT_RUN_ID, self.parent_run_id)
        if POSITION_TAG not in shown:  # new, or whoever made it came no further
            text = yaml.safe_dump(dict(trial.hyperparameters), sort_keys=False)
            self._client.log_text(run_id, text, "hyperparameters.yaml")
        new = [(name, value) for name, value in trial.params.items() if name not in run.data.params]
        for first in range(0, len(new), MAX_PARAMS_PER_BATCH):
            batch = new[first : first + MAX_PARAMS_PER_BATCH]
            params = [Param(name, str(value)[:MAX_PARAM_LENGTH]) for name, value in batch]
            self._client.log_batch(run_id, params=params)
        return _Child(run_id, Position.parse(shown.get(POSITION_TAG, "")), shown, run.info.status)

    def _open_shared(self, name: str) -> str:
        """The run above, found or made. Of two that were made at once, both drivers take the earlier one."""
        key, made = f"parent_run {name}", ""
        if not self._tagged(KEY_TAG, key):
            made = self._create(key, {**resolve_tags(), MLFLOW_RUN_NAME: name}).info.run_id
        found = [(run.info.start_time, run.info.run_id) for run in self._tagged(KEY_TAG, key)]
        _, run_id = min(found)
        if made and made != run_id:
            self._client.delete_run(made)
        self._client.update_run(run_id, RUNNING)
        return str(run_id)

    def _find_experiment(self) -> str:
        name = self._sweep.parent_run or self._sweep.name
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        location = self._sweep.artifact_location
        uri = (location / name).as_uri() if location is not None else None
        return str(self._client.create_experiment(name, artifact_location=uri))

    def _find(self, run_id: str, key: str) -> Run | None:
        """The run of that id, else of that key; None where the store has neither, or has deleted it."""
        run = self._known(run_id) if run_id else None
        if run is not None:
            return run
        found = self._tagged(KEY_TAG, key)
        return found[0] if found else None

    def _tagged(self, tag: str, value: str) -> list[Run]:
        return list(
            self._client.search_runs([self._experiment_id], filter_string=f"tags.`{tag}` = '{value}'")
        )

    def _known(self, run_id: str) -> Run | None:
        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # the store is not the one that gave the id
                return None
            raise
        return run if run.info.lifecycle_stage == "active" else None

    def _create(self, key: str, tags: Mapping[str, str]) -> Run:
        all_tags = {tag.key: tag.value for tag in _run_tags({**tags, KEY_TAG: key})}
        return self._client.create_run(self._experiment_id, tags=all_tags)


def _run_tags(tags: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(key, without_credentials(value)[:MAX_TAG_LENGTH]) for key, value in tags.items()]
