"""A sweep as a job of a Ray cluster: what is sent to its head, and one job for one spec."""

from __future__ import annotations

import logging
import os
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlsweep.errors import PreflightError, UsageError
from rlsweep.run.jobs import Job, Jobs, attempt_of
from rlsweep.spec import LoadedSpec
from rlsweep.store.credentials import without_credentials
from rlsweep.store.layout import Storage
from rlsweep.store.manifest import content_hash

logger = logging.getLogger(__name__)

NOT_SENT = [
    *("runs/", ".git/", ".venv*/", "__pycache__/", "*.egg-info/", ".*_cache/", "node_modules/"),
    *(".env", ".env.*", "*.pem", "*.key", "id_rsa*", "id_ed25519*", ".netrc", ".aws/", ".ssh/", ".ray/"),
    *("*.mp4", "benchmarks/results/"),
]
"""Of the working directory, beside what `.gitignore` and `.rayignore` name: runs, caches, secrets."""

STOP_SECONDS = 300
"""What a job has to leave its checkpoints in once it is told to stop; Ray's own default is 3 seconds."""

MAX_LOST = 10
WAIT_SECONDS = 15.0
"""How often a job whose process was lost is submitted again while somebody follows it, and after how long."""


def job_name(loaded: LoadedSpec) -> str:
    """Of a sweep's jobs: the same for the same resolved spec."""
    return f"{loaded.sweep.name}-{content_hash(loaded.sweep.model_dump(mode='json'))[:12]}"


def submit(jobs: Jobs, loaded: LoadedSpec, arguments: Sequence[str], storage: Storage) -> Job:
    """Start a sweep on a cluster, or find the job that runs it already.

    Args:
        jobs: of the cluster.
        loaded: the spec.
        arguments: of `rlsweep run`, as they are to be used there.
        storage: of the runs.

    Raises:
        PreflightError: the cluster could not reach the storage or MLflow, or wants a token.
        UsageError: the spec lies outside of the working directory, which is sent.
        RunError: the head refuses.
    """
    runtime_env = _runtime_env(loaded, storage)
    name = job_name(loaded)
    known = jobs.attempts(name)
    if known and not known[-1].has_ended:
        return known[-1]
    job_id = f"{name}-{attempt_of(known[-1].id, name) + 1 if known else 1}"
    jobs.submit(
        job_id, shlex.join(["exec", "rlsweep", "run", *arguments]), runtime_env, _metadata(loaded, storage)
    )
    return jobs.get(job_id)


def follow(jobs: Jobs, job: Job, again: Callable[[], Job], tell: Callable[[str], None]) -> Job:
    """Tell what a job says until it ends; one whose process was lost is submitted again, and goes on.

    Args:
        jobs: of the cluster.
        job: of them.
        again: submits it again.
        tell: is given what it says.

    Raises:
        RunError: the head does not answer any more.
    """
    for _ in range(MAX_LOST):
        ended = jobs.follow(job.id, tell)
        if not ended.is_lost:
            return ended
        logger.warning("%s was lost (%s); it is submitted again", ended.id, ended.message or "no word")
        time.sleep(WAIT_SECONDS)
        job = again()
    return jobs.follow(job.id, tell)


def _runtime_env(loaded: LoadedSpec, storage: Storage) -> dict[str, Any]:
    """The working directory and the environment of a job."""
    here = Path.cwd()
    outside = [str(path) for path in loaded.files if not path.resolve().is_relative_to(here)]
    if outside:
        raise UsageError(f"{', '.join(outside)}: outside of {here}, which is what is sent to the cluster")
    if storage.remote is None and not storage.root.is_absolute():
        raise PreflightError(
            f"--storage {storage} lies on this machine: name one that the cluster reaches, s3://… or the "
            "absolute path of a shared file system (RLSWEEP_STORAGE)"
        )
    variables = {"RLSWEEP_STORAGE": storage.address, "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        if uri != without_credentials(uri):
            raise PreflightError(
                f"MLFLOW_TRACKING_URI={without_credentials(uri)} holds a password, which would stand in the "
                "job's description: give MLFLOW_TRACKING_USERNAME and _PASSWORD to the cluster's nodes"
            )
        variables["MLFLOW_TRACKING_URI"] = uri
    return {"working_dir": str(here), "excludes": NOT_SENT, "env_vars": variables}


def _metadata(loaded: LoadedSpec, storage: Storage) -> dict[str, str]:
    """What the job's page of Ray's dashboard says of a sweep."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return {
        "sweep": loaded.sweep.name,
        "description": loaded.sweep.description,
        "storage": without_credentials(storage.address),
        **({"mlflow": without_credentials(uri)} if uri else {}),
    }
