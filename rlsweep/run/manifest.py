"""The manifest of a plan: its spec, versions and trials, each with the hash of what it depends on."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rlsweep.plan import Plan, PlannedTrial
from rlsweep.spec import Sweep
from rlsweep.store.manifest import Manifest, TrialRecord

_LIBRARIES = ("rlsweep", "ray", "torch", "gymnasium", "ale-py", "mlflow", "numpy")

_NOT_TRAINING = {
    "name",
    "description",
    "search",
    "seeds",
    "objective",
    "scheduler",
    "checkpoints",
    "failures",
}
"""Sections that may change without a finished trial being another experiment."""


def new_manifest(plan: Plan) -> Manifest:
    """The manifest of a plan before anything ran."""
    spec = plan.sweep.model_dump(mode="json", exclude_unset=True)
    return Manifest(
        name=plan.sweep.name,
        spec=spec,
        spec_hash=content_hash(spec),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        git_commit=git_commit(),
        versions={"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES},
        trials=[
            TrialRecord(trial.id, trial.config_id, trial.values, trial.seed, trial_hash(trial))
            for trial in plan.trials
        ],
    )


def trial_hash(trial: PlannedTrial) -> str:
    """Hash of everything that a trial's result depends on: resolved spec and seed."""
    return content_hash({"spec": _training_part(trial.sweep), "seed": trial.seed})


def content_hash(data: dict[str, Any]) -> str:
    """SHA-256 of JSON data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def git_commit() -> str:
    """The commit of the working directory; empty outside a checkout."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path.cwd()
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _training_part(sweep: Sweep) -> dict[str, Any]:
    dumped = sweep.model_dump(mode="json", exclude_unset=True)
    return {section: value for section, value in dumped.items() if section not in _NOT_TRAINING}
