"""`sweep.json`: what a run is, which trials it has and how each stands. Rewritten whole, atomically."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

from rlsweep.errors import RunError
from rlsweep.store.layout import RunLayout

FORMAT = 1

PENDING = "pending"
RUNNING = "running"
FINISHED = "finished"
STOPPED = "stopped"
FAILED = "failed"
"""How a trial stands: `stopped` is by the scheduler, before its own stop was reached."""


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
