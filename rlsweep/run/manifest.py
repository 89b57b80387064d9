"""`sweep.json`: what a run is, which trials it has and how each stands. Rewritten whole, atomically."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rlsweep.errors import RunError
from rlsweep.plan import Plan, PlannedTrial
from rlsweep.spec import Sweep
from rlsweep.spec.layout import RunLayout

FORMAT = 1
PENDING = "pending"

_LIBRARIES = ("rlsweep", "ray", "torch", "gymnasium", "ale-py", "mlflow", "numpy")

_NOT_TRAINING = {"name", "description", "search", "seeds", "objective", "scheduler", "checkpoints", "failures"}
"""Sections that may change without a finished trial being another experiment."""


@dataclass
class TrialRecord:
    """One trial in the manifest.

    Attributes:
        id, config_id, values, seed: as planned.
        hash: of everything that the trial's result depends on.
        status: pending, running, finished, stopped or failed.
        mlflow_run_id: its child run; empty before it has one.
    """

    id: str
    config_id: str
    values: dict[str, Any]
    seed: int
    hash: str
    status: str = PENDING
    mlflow_run_id: str = ""


@dataclass
class Manifest:
    """The content of `sweep.json`.

    Attributes:
        spec: the resolved spec; `spec_hash` is its SHA-256.
        mlflow: tracking URI and the ids of experiment and parent run.
    """

    name: str
    spec: dict[str, Any]
    spec_hash: str
    created: str
    git_commit: str
    versions: dict[str, str]
    trials: list[TrialRecord]
    mlflow: dict[str, str] = field(default_factory=dict)

    def trial(self, trial_id: str) -> TrialRecord:
        """The record of that id.

        Raises:
            KeyError: there is none.
        """
        return {record.id: record for record in self.trials}[trial_id]

    def write(self, layout: RunLayout) -> None:
        """Replace `sweep.json`."""
        layout.root.mkdir(parents=True, exist_ok=True)
        data = {"format": FORMAT} | vars(self) | {"trials": [vars(record) for record in self.trials]}
        partial = layout.manifest.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as stream:
            json.dump(data, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(layout.manifest)

    @classmethod
    def read(cls, layout: RunLayout) -> Manifest:
        """Read `sweep.json`.

        Raises:
            RunError: there is none, or it cannot be read.
        """
        try:
            data = json.loads(layout.manifest.read_text("utf-8"))
            data.pop("format")
            records = [TrialRecord(**record) for record in data.pop("trials")]
            return cls(**data, trials=records)
        except FileNotFoundError:
            raise RunError(f"no run in {layout.root}: {layout.manifest.name} is missing") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{layout.manifest} cannot be read: {error}") from None


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
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path.cwd()).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _training_part(sweep: Sweep) -> dict[str, Any]:
    dumped = sweep.model_dump(mode="json", exclude_unset=True)
    return {section: value for section, value in dumped.items() if section not in _NOT_TRAINING}
