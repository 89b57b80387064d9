"""Ray for the time of a command: the settings that rlsweep needs, and what the machine or cluster has."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import ray
from ray.exceptions import RayError

from rlsweep.errors import PreflightError
from rlsweep.plan import Machine
from rlsweep.run.doctor_cluster import cluster_findings
from rlsweep.run.doctor_finding import Level
from rlsweep.run.exposure import check_exposure, keep_token_private, make_private_folder
from rlsweep.run.heads import is_head
from rlsweep.run.nodes import RAY_IS_AWAY, read_machine

_RAY_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the history callback writes the history
    "RAY_AIR_NEW_OUTPUT": "0",  # our console speaks
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # `callbacks.driver.signals` lets trials leave checkpoints first
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),  # Tune's own state of the sweep: nobody reads it
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # `run.memory` looks: Tune ends with what Ray's monitor kills
}

_LOG_LEVELS = {
    "ray.tune": logging.CRITICAL,  # a failed trial's trace goes to its error.txt, its reason to the console
    "ray.rllib": logging.ERROR,
    "ray.train": logging.ERROR,
    "mlflow": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,  # the tracker says what a store refuses, once
}


@contextmanager
def ray_session() -> Iterator[Machine]:
    """Ray for the time of the block: the cluster of RAY_ADDRESS, or one started here and ended after.

    Yields:
        What it can hand out.

    Raises:
        PreflightError: others could run code in the Ray that would be started here; or RAY_ADDRESS names what
            no driver can join, or what does not answer, or asks for a token.
    """
    if is_head():
        raise PreflightError(
            f"RAY_ADDRESS={os.environ['RAY_ADDRESS']} takes jobs (rlsweep submit); for this, name the "
            "cluster itself, HEAD:6379, or say --cpus and --gpus"
        )
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    address = os.environ.get("RAY_ADDRESS", "")
    keep_token_private(make=not address)
    if address:
        _join(address)
    else:
        check_exposure(ray.util.get_node_ip_address())
        make_private_folder()
        # Without `local` Ray joins whatever cluster somebody else has started on this machine.
        _init(address="local", include_dashboard=False)
    quiet_libraries()
    try:
        yield read_machine()
    finally:
        ray.shutdown()


def _init(**arguments: Any) -> None:
    ray.init(logging_level=logging.ERROR, log_to_driver=False, **arguments)


def _join(address: str) -> None:
    """Ray itself waits minutes, without a word, for a head that is away or that refuses the token."""
    found = cluster_findings(address, ray.__version__)
    if problems := [one for one in found if one.level is Level.PROBLEM]:
        raise PreflightError(f"{problems[0].text}; {problems[0].remedy}")
    try:
        _init()
    except (ValueError, OSError, RuntimeError, RayError) as error:
        words = [*str(error).strip().splitlines(), type(error).__name__]
        raise PreflightError(f"RAY_ADDRESS={address}: {words[0]}") from error


def is_alive() -> bool:
    """Whether the Ray that was started here still is; of a cluster, whether it answers."""
    if os.environ.get("RAY_ADDRESS"):
        try:
            return any(node["Alive"] for node in ray.nodes())
        except RAY_IS_AWAY:
            return False
    return any(child.name() == "raylet" and _runs(child) for child in psutil.Process().children())


def _runs(process: psutil.Process) -> bool:
    return bool(process.status() != psutil.STATUS_ZOMBIE)


def quiet_libraries() -> None:
    """Keep from stderr what Ray and MLflow announce; errors still come through."""
    for name, level in _LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
