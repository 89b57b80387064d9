"""`sweep.json`: what a run is, which trials it has and how each stands. Rewritten whole, atomically."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from rlsweep.errors import RunError
from rlsweep.store.layout import RunLayout

FORMAT = 1

PENDING = "pending"
RUNNING = "running"
FINISHED = "finished"
STOPPED = "stopped"
FAILED = "failed"
INTERRUPTED = "interrupted"
"""How a trial stands: `stopped` is by the scheduler, before its own stop was reached; `interrupted` by the
user, or by whatever ended the driver."""

TRIAL_ID = "trial"
"""The one key of a trial's Tune configuration; everything else stands in the plan."""


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
        comparison_hash: of what training depends on beside swept values and seed: trials of two specs with
            the same one can be compared.
        profile: the profile it was run with; empty for none.
        metric, goal: the objective.
        mlflow: tracking URI and id of the parent run.
    """

    name: str
    spec: dict[str, Any]
    spec_hash: str
    comparison_hash: str
    profile: str
    metric: str
    goal: Literal["maximize", "minimize"]
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
            found = data.pop("format")
            if found != FORMAT:
                raise RunError(f"{layout.manifest} has format {found}, this reads {FORMAT}")
            return TypeAdapter(cls).validate_python(data)
        except FileNotFoundError:
            raise RunError(f"no run in {layout.root}: {layout.manifest.name} is missing") from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise RunError(f"{layout.manifest} cannot be read: {error}") from None
