"""A sweep as a job of a Ray cluster: what is sent to its head, and one job for one spec."""

from __future__ import annotations

import logging
import os
import shlex
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rlsweep.errors import PreflightError, RunError, UsageError
from rlsweep.run.jobs import AWAY_SECONDS, Job, Jobs, attempt_of
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

_TOO_LARGE = ("Maximum request body size", "Package size")
"""What Ray says of a working directory that it does not take."""

STOP_SECONDS = 300
"""What a job has to leave its checkpoints in once it is told to stop; Ray's own default is 3 seconds."""

MAX_LOST = 10
WAIT_SECONDS = 15.0
"""How often a job whose process was lost is submitted again while somebody follows it, and after how long."""


def job_name(loaded: LoadedSpec, storage: Storage) -> str:
    """Of a sweep's jobs: the same for the same resolved spec with its runs in the same place."""
    content = {"sweep": loaded.sweep.model_dump(mode="json"), "storage": storage.address}
    return f"{loaded.sweep.name}-{content_hash(content)[:12]}"


def submit(jobs: Jobs, loaded: LoadedSpec, arguments: Sequence[str], storage: Storage) -> Job:
    """Start a sweep on a cluster, or find the job that runs it already.

    Args:
        jobs: of the cluster.
        loaded: the spec.
        arguments: of `rlsweep run`, as they are to be used there.
        storage: of the runs.

    Raises:
        PreflightError: the cluster could not reach the storage or MLflow, or wants a token.
        UsageError: the spec lies outside of the working directory, which is sent, or in what is left out; or
            that directory is too large.
        RunError: the head refuses.
    """
    runtime_env = _runtime_env(loaded, storage)
    name = job_name(loaded, storage)
    known = jobs.attempts(name)
    if known and not known[-1].has_ended:
        return known[-1]
    job_id = f"{name}-{attempt_of(known[-1].id, name) + 1 if known else 1}"
    entrypoint = shlex.join(["exec", "rlsweep", "run", *arguments])
    try:
        jobs.submit(job_id, entrypoint, runtime_env, _metadata(loaded, storage))
    except RunError as error:
        if any(words in str(error) for words in _TOO_LARGE):
            hint = f"{Path.cwd()} is sent: leave what is large to .rayignore, or start where less lies"
            raise UsageError(f"{error}; {hint}") from None
        raise
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
        job = _patiently(again)
    return jobs.follow(job.id, tell)


def _patiently(again: Callable[[], Job]) -> Job:
    """The head may be away, as the node of the lost job is."""
    deadline = time.monotonic() + AWAY_SECONDS
    while True:
        time.sleep(WAIT_SECONDS)
        try:
            return again()
        except RunError as error:
            if time.monotonic() > deadline:
                raise
            logger.warning("%s; it is tried again", error)


def _runtime_env(loaded: LoadedSpec, storage: Storage) -> dict[str, Any]:
    """The working directory and the environment of a job."""
    here = Path.cwd()
    outside = [str(path) for path in loaded.files if not path.resolve().is_relative_to(here)]
    if outside:
        raise UsageError(f"{', '.join(outside)}: outside of {here}, which is what is sent to the cluster")
    left_out = [str(path) for path in loaded.files if _is_left_out(path.resolve().relative_to(here))]
    if left_out:
        raise UsageError(f"{', '.join(left_out)}: not sent to the cluster; copy it to sweeps/")
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
        if urlsplit(uri).scheme in ("", "sqlite", "file") and uri != "databricks":
            raise PreflightError(
                f"MLFLOW_TRACKING_URI={uri} lies on this machine: name a server that the cluster reaches, "
                "http://MLFLOW:5000"
            )
        variables["MLFLOW_TRACKING_URI"] = uri
    of_runs = [f"/{_root(storage, here)}/"] if _root(storage, here) else []
    return {"working_dir": str(here), "excludes": [*NOT_SENT, *of_runs], "env_vars": variables}


def _is_left_out(path: Path) -> bool:
    """Whether a part of a path is one of `NOT_SENT`."""
    patterns = [pattern.rstrip("/") for pattern in NOT_SENT]
    return any(fnmatch(part, pattern) for part in path.parts for pattern in patterns)


def _root(storage: Storage, here: Path) -> str:
    """Of a storage in the working directory, where in it; else empty."""
    is_inside = storage.remote is None and storage.root.is_relative_to(here) and storage.root != here
    return str(storage.root.relative_to(here)) if is_inside else ""


def _metadata(loaded: LoadedSpec, storage: Storage) -> dict[str, str]:
    """What the job's page of Ray's dashboard says of a sweep."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return {
        "sweep": loaded.sweep.name,
        "description": loaded.sweep.description,
        "storage": without_credentials(storage.address),
        **({"mlflow": without_credentials(uri)} if uri else {}),
    }
