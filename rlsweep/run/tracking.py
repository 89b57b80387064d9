"""What MLflow is told of a run, from its manifest and files alone: while it runs, and by `rlsweep sync`."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from mlflow.utils.mlflow_tags import MLFLOW_GIT_BRANCH, MLFLOW_GIT_COMMIT, MLFLOW_GIT_REPO_URL
from pydantic import ValidationError

from analysis.reading import last_row_of
from callbacks.driver.mlflow import MLflowTracker
from callbacks.driver.points import Chosen
from callbacks.driver.projection import RUNNING as OPEN
from callbacks.driver.projection import SWEEP_TAG, TrackedSweep, TrackedTrial
from rlsweep.errors import RunError
from rlsweep.run.tracking_store import tracking_uri
from rlsweep.spec import Sweep, with_values
from rlsweep.spec.hyperparameters import hyperparameters
from rlsweep.store.credentials import without_credentials
from rlsweep.store.endings import in_words
from rlsweep.store.failures import counts, read_failures
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import DIVERGED, FAILED, FINISHED, RUNNING, STOPPED, Manifest
from rlsweep.store.rows import ENV_STEPS, PHASE_NAME
from rlsweep.store.symptoms import read_symptoms

STATUS_TAG = "rlsweep.status"
PHASE_TAG = "rlsweep.phase"
SYMPTOM_TAG = "rlsweep.diagnosis."
FAILURES_TAG = "rlsweep.failures"
ERROR_TAG = "rlsweep.error"
"""Tags of a child run: how the trial stands in words, its phase of the curriculum, with the name of a symptom
behind it what was found, how often it failed by class, and the last lines of its trace."""

LINES_OF_TRACE = 20

_RUN_STATUS = {RUNNING: OPEN, FINISHED: "FINISHED", STOPPED: "FINISHED", DIVERGED: "FAILED", FAILED: "FAILED"}
_OTHERWISE = "KILLED"


class TrackedRun:
    """A run as MLflow is told of it.

    Args:
        manifest: of the run; changes while it runs.
        layout, storage: of the run.

    Raises:
        RunError: this version cannot read the run's spec.
    """

    def __init__(self, manifest: Manifest, layout: RunLayout, storage: Storage) -> None:
        self._manifest, self._layout, self._storage = manifest, layout, storage
        try:
            self._sweep = Sweep.parse(manifest.spec)
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise RunError(
                f"{layout.manifest}: the spec is of another version: {where}: {fault['msg']}"
            ) from None
        shown, known = without_credentials(self.tracking_uri), manifest.mlflow.tracking_uri
        manifest.mlflow.tracking_uri = shown
        if without_credentials(known) != shown:  # another store knows nothing of these runs
            manifest.mlflow.parent_run_id = ""
            for record in manifest.trials:
                record.mlflow_run_id = ""

    @property
    def tracking_uri(self) -> str:
        """Of the store; not kept: this object is pickled into the run folder, and it may hold a password."""
        return tracking_uri(self._storage)

    @property
    def register_as(self) -> str | None:
        """Name of the registered model that the winner becomes a version of."""
        return self._sweep.tracking.register_as

    def sweep(self) -> TrackedSweep:
        """Of the parent run."""
        manifest = self._manifest
        is_embedded = self.tracking_uri == self._storage.tracking_uri
        return TrackedSweep(
            name=manifest.name,
            parent_run=self._sweep.tracking.parent_run or "",
            key=manifest.mlflow.key,
            spec_yaml=yaml.safe_dump(manifest.spec, sort_keys=False),
            tags=_tags(manifest),
            chosen=Chosen(self._sweep.tracking.metrics, self._sweep.stop.env_steps),
            artifact_location=self._storage.artifacts if is_embedded else None,
            superseded=tuple(manifest.mlflow.superseded),
            system_metrics=self._sweep.tracking.system_metrics,
            run_id=manifest.mlflow.parent_run_id,
        )

    def trial(self, trial_id: str) -> TrackedTrial:
        """Of a child run, as the trial stands now."""
        record = self._manifest.trial(trial_id)
        folder = self._layout.trial(trial_id)
        history = self._layout.result_json(trial_id)
        sweep = with_values(self._sweep, record.values)
        row = last_row_of(history)
        words = in_words(record, self._sweep.scheduler.type, int(row.get(ENV_STEPS, 0)), folder)
        return TrackedTrial(
            id=trial_id,
            key=record.mlflow_key,
            name=record.label,
            params={
                **record.values,
                "seed": record.seed,
                "algorithm": sweep.algorithm,
                "env": sweep.env.id,
                "network": sweep.network.name,
            },
            tags={
                "config_id": record.config_id,
                "seed": str(record.seed),
                "trial_id": trial_id,
                STATUS_TAG: words,
                **({PHASE_TAG: row[PHASE_NAME]} if row.get(PHASE_NAME) else {}),
                **{SYMPTOM_TAG + one.name: f"{one.cause}; {one.remedy}" for one in read_symptoms(folder)},
                **_failures(folder),
            },
            status=_RUN_STATUS.get(record.status, _OTHERWISE),
            history=history,
            hyperparameters=_effective(sweep),
            run_id=record.mlflow_run_id,
        )

    def keep(self, parent_run_id: str, run_ids: Mapping[str, str], *, is_whole: bool) -> None:
        """Write the known ids of runs into the manifest; `is_whole`: superseded runs have been deleted."""
        self._manifest.mlflow.parent_run_id = parent_run_id or self._manifest.mlflow.parent_run_id
        for record in self._manifest.trials:
            record.mlflow_run_id = run_ids.get(record.id, record.mlflow_run_id)
        if is_whole:
            self._manifest.mlflow.superseded.clear()
        self._manifest.write(self._layout)

    def tracker(self) -> MLflowTracker:
        """The callback that tells MLflow of this run while it goes on."""
        return MLflowTracker(self.sweep(), partial(tracking_uri, self._storage), self.trial, self.keep)


def _tags(manifest: Manifest) -> dict[str, str]:
    git = manifest.git
    return {
        MLFLOW_GIT_COMMIT: manifest.git_commit,
        SWEEP_TAG: manifest.name,
        "rlsweep.spec_hash": manifest.spec_hash,
        "rlsweep.description": manifest.spec.get("description", ""),
        "rlsweep.host": platform.node(),
        "rlsweep.node": manifest.node,
        **({"rlsweep.forked_from": manifest.forked_from} if manifest.forked_from else {}),
        **({MLFLOW_GIT_BRANCH: git["branch"], "rlsweep.git_dirty": git["dirty"]} if git else {}),
        **({MLFLOW_GIT_REPO_URL: git["repo"]} if "repo" in git else {}),
        **{f"rlsweep.version.{name}": number for name, number in manifest.versions.items()},
    }


def _failures(folder: Path) -> dict[str, str]:
    failures = read_failures(folder)
    if not failures:
        return {}
    trace = folder / RunLayout.ERROR_TXT
    lines = trace.read_text("utf-8", errors="replace").splitlines() if trace.is_file() else []
    return {FAILURES_TAG: counts(failures), ERROR_TAG: "\n".join(lines[-LINES_OF_TRACE:])}


def _effective(sweep: Sweep) -> dict[str, Any]:
    """Every hyperparameter in force: what the spec says, over RLlib's defaults."""
    defaults = {name: known.default for name, known in hyperparameters(sweep.algorithm).items()}
    return {
        "algorithm": sweep.algorithm,
        "training": defaults | sweep.training,
        **sweep.model_dump(mode="json", include={"env", "network", "exploration", "curriculum"}),
    }
