"""`rlsweep doctor`: what of this machine would keep a sweep from running well. It starts and ends nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from threading import Thread

from rlsweep.run.doctor_cluster import cluster_findings
from rlsweep.run.doctor_disk import disk_findings
from rlsweep.run.doctor_finding import Finding, Level
from rlsweep.run.doctor_gpus import gpu_findings
from rlsweep.run.doctor_ports import port_findings
from rlsweep.run.doctor_processes import process_findings
from rlsweep.run.doctor_runs import run_findings
from rlsweep.run.doctor_versions import version_findings
from rlsweep.store.layout import Storage

LIMIT_SECONDS = 10.0
"""For all probes, which run side by side; nobody waits longer for a doctor."""

Probe = Callable[[], list[Finding]]


def examine(storage: Storage) -> list[Finding]:
    """Everything that was found, in the order of the subjects.

    A probe that fails, or does not come back in time, is a finding of its own.
    """
    return ask(
        {
            "versions": version_findings,
            "processes": lambda: process_findings(ray_folder()),
            "disk": lambda: disk_findings(storage.root, ray_folder()),
            "ports": port_findings,
            "gpu": gpu_findings,
            "cluster": lambda: cluster_findings(os.environ.get("RAY_ADDRESS"), metadata.version("ray")),
            "runs": lambda: run_findings(storage),
        }
    )


def ask(probes: dict[str, Probe], limit_seconds: float = LIMIT_SECONDS) -> list[Finding]:
    """The findings of every probe, subject -> probe; they run side by side."""
    answers: dict[str, list[Finding]] = {}
    # Daemons: a disk that hangs must not keep this process from ending.
    threads = [Thread(target=_ask, args=(one, probes[one], answers), daemon=True) for one in probes]
    deadline = time.monotonic() + limit_seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [
        finding for subject in probes for finding in answers.get(subject) or [_late(subject, limit_seconds)]
    ]


def ray_folder() -> Path:
    """Where Ray keeps its sessions: below RAY_TMPDIR, TMPDIR (Linux) or /tmp."""
    from ray._common.utils import get_default_ray_temp_dir

    return Path(get_default_ray_temp_dir())


def _ask(subject: str, probe: Probe, answers: dict[str, list[Finding]]) -> None:
    try:
        answers[subject] = probe()
    except Exception as error:  # whatever there is on somebody's machine: the other probes still answer
        text = f"could not be examined: {type(error).__name__}: {error}".strip(": ")
        answers[subject] = [
            Finding(Level.WARNING, subject, text, "look at it by hand; the rest still counts")
        ]


def _late(subject: str, limit_seconds: float) -> Finding:
    text = f"did not answer within {limit_seconds:g} s"
    return Finding(Level.WARNING, subject, text, "try again when the machine has less to do; is a disk away?")
