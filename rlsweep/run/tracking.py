"""What MLflow is told of a plan."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT
from sqlalchemy.exc import SQLAlchemyError

from callbacks.driver.mlflow import MLflowTracker, TrackedSweep, TrackedTrial
from rlsweep.errors import PreflightError
from rlsweep.plan import Plan, PlannedTrial
from rlsweep.run.manifest import Continuation
from rlsweep.store.layout import RunLayout, Storage

TRACKING_URI_VARIABLE = "MLFLOW_TRACKING_URI"


def tracking_uri(storage: Storage) -> str:
    """MLFLOW_TRACKING_URI where it is set, otherwise the embedded store of `storage`."""
    return os.environ.get(TRACKING_URI_VARIABLE) or storage.tracking_uri


def check_tracking(storage: Storage) -> None:
    """Open the tracking store once, before anything is moved or started.

    A server that does not answer is no fault here: the sweep goes on without it.

    Raises:
        PreflightError: MLFLOW_TRACKING_URI is nothing that MLflow can open.
    """
    uri = tracking_uri(storage)
    storage.root.mkdir(parents=True, exist_ok=True)
    try:
        MlflowClient(uri)
    except (MlflowException, SQLAlchemyError) as error:
        raise PreflightError(f"MLflow cannot open {uri}: {str(error).splitlines()[0]}") from None


def remote_tracking_server() -> str:
    """The server that MLFLOW_TRACKING_URI names; empty where it names none or a store on disk."""
    uri = os.environ.get(TRACKING_URI_VARIABLE, "")
    return uri if uri.startswith(("http://", "https://", "databricks")) else ""


def mlflow_tracker(
    plan: Plan, continuation: Continuation, layout: RunLayout, storage: Storage
) -> MLflowTracker:
    """The callback that tracks this plan; it notes the run ids it makes in the manifest."""
    manifest = continuation.manifest
    superseded = [record.mlflow_run_id for record in continuation.superseded if record.mlflow_run_id]
    uri = tracking_uri(storage)
    if manifest.mlflow.get("tracking_uri") != uri:  # another store knows nothing of these runs
        manifest.mlflow = {"tracking_uri": uri}
        superseded = []
        for record in manifest.trials:
            record.mlflow_run_id = ""

    def on_run(trial_id: str, run_id: str) -> None:
        if trial_id:
            manifest.trial(trial_id).mlflow_run_id = run_id
        else:
            manifest.mlflow["parent_run_id"] = run_id
        manifest.write(layout)

    def describe(values: Mapping[str, Any], seed: int) -> TrackedTrial:
        trial = plan.trial(dict(values), seed)
        return _tracked(trial, manifest.trial(trial.id).mlflow_run_id)

    return MLflowTracker(
        TrackedSweep(
            name=plan.sweep.name,
            spec_yaml=yaml.safe_dump(manifest.spec, sort_keys=False),
            tags={
                MLFLOW_GIT_COMMIT: manifest.git_commit,
                "rlsweep.spec_hash": manifest.spec_hash,
                "rlsweep.description": plan.sweep.description,
            }
            | {f"rlsweep.version.{name}": number for name, number in manifest.versions.items()},
            describe=describe,
            parent_run_id=manifest.mlflow.get("parent_run_id", ""),
            superseded_run_ids=tuple(superseded),
        ),
        uri,
        _artifact_location(uri, storage),
        on_run,
    )


def _tracked(trial: PlannedTrial, run_id: str) -> TrackedTrial:
    sweep = trial.sweep
    return TrackedTrial(
        name=f"{trial.config_id} · seed {trial.seed}",
        params={
            **trial.values,
            "seed": trial.seed,
            "algorithm": sweep.algorithm,
            "env": sweep.env.id,
            "network": sweep.network.name,
        },
        tags={"config_id": trial.config_id, "seed": str(trial.seed), "trial_id": trial.id},
        run_id=run_id,
    )


def _artifact_location(uri: str, storage: Storage) -> Path | None:
    return storage.artifacts if uri == storage.tracking_uri else None


def mlflow_server_command(storage: Storage, host: str, port: int) -> list[str]:
    """The command line of an MLflow server over the embedded store, for this interpreter.

    Only the address it listens on is an allowed host: MLflow's default admits every private network.
    """
    storage.root.mkdir(parents=True, exist_ok=True)
    hosts = {f"{host}:{port}", f"localhost:{port}", f"127.0.0.1:{port}"}
    return [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        tracking_uri(storage),
        "--default-artifact-root",
        storage.artifacts.as_uri(),
        "--host",
        host,
        "--port",
        str(port),
        "--workers",
        "1",
        "--allowed-hosts",
        ",".join(sorted(hosts)),
        "--uvicorn-opts",
        "--log-level warning",
    ]
