"""`sweep.json`: what a run is, which trials it has and how each stands. Rewritten whole, atomically."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic_core import to_json

from rlsweep.errors import RunError
from rlsweep.store.layout import RunLayout
from rlsweep.store.rows import HAS_DIVERGED, REACHED_STOP, SCORE
from rlsweep.store.state_file import read_state, write_state

FORMAT = 2

PENDING = "pending"
RUNNING = "running"
FINISHED = "finished"
STOPPED = "stopped"
FAILED = "failed"
INTERRUPTED = "interrupted"
DIVERGED = "diverged"
"""How a trial stands: `stopped` is by the scheduler, before its own stop was reached; `diverged` by itself,
when its loss or score was no number any more; `interrupted` by the user, by a spent budget, or by whatever
ended the driver."""

ENDED = (FINISHED, STOPPED, DIVERGED)
"""Trials in these states are not run again."""

SEARCH = "search"
CONFIRM = "confirm"
"""What a trial is for: finding the best configuration, or confirming it with seeds that the search has not
seen."""

ENV_ID = "env.id"
"""The swept value that tells the games of one configuration apart."""

TRIAL = "trial"
"""The one key of a trial's Tune configuration: `{"id": …, "values": …, "seed": …}`, and CHECKPOINT where it
goes on; the rest stands in the plan. PBT copies a donor's, so a trial is who its Tune name says, its id."""

CHECKPOINT = "checkpoint"
"""Path or URI of the checkpoint that an interrupted trial goes on from."""


def _new_key() -> str:
    return uuid.uuid4().hex


@dataclass
class TrialRecord:
    """One trial in the manifest.

    Attributes:
        id, config_id, values, seed: as planned.
        hash: of everything that the trial's result depends on.
        workload: hash of what decides how fast it trains, to compare throughputs.
        phase: search or confirm.
        status: pending, running, finished, stopped, diverged, failed or interrupted.
        hash_but_stop: of everything but its stop; empty where the rest depends on that.
        stop: the limits of its stop, as in the spec.
        is_outgrown: the sweep's stop is a longer one now, for which it was not asked to go on: it stays as it
            ended, and no configuration is judged by it.
        mlflow_key: by which its child run is found again in an MLflow store.
        mlflow_run_id: its child run; empty before it has one.
    """

    id: str
    config_id: str
    values: dict[str, Any]
    seed: int
    hash: str
    workload: str = ""
    phase: str = SEARCH
    status: str = PENDING
    mlflow_key: str = field(default_factory=_new_key)
    mlflow_run_id: str = ""
    hash_but_stop: str = ""
    stop: dict[str, float | None] = field(default_factory=dict)
    is_outgrown: bool = False

    @property
    def game(self) -> str:
        """The one of several games that the trial plays; empty where its configuration plays one."""
        return short_game(str(self.values.get(ENV_ID, "")))

    @property
    def label(self) -> str:
        """Configuration, game and seed for people: `lr=0.001 · Pong · seed 1`."""
        game = [self.game] if self.game and self.game not in self.config_id else []
        return " · ".join([self.config_id, *game, f"seed {self.seed}"])


@dataclass(frozen=True)
class Objective:
    """What configurations are compared by.

    Attributes:
        key: row key.
        goal: maximize or minimize.
        over_seeds: mean, median, worst or iqm.
        threshold: the score to reach, of `env_steps_to` and `seconds_to`.
        most_env_steps: length of a whole trial.
    """

    key: str
    goal: Literal["maximize", "minimize"]
    over_seeds: Literal["mean", "median", "worst", "iqm"] = "mean"
    threshold: float | None = None
    most_env_steps: int = 0

    @property
    def maximize(self) -> bool:
        """Whether more of it is better."""
        return self.goal == "maximize"

    @property
    def on_the_way(self) -> Objective:
        """What tells good from bad while a trial runs: itself, or the score where it waits for one."""
        return self if self.threshold is None else Objective(SCORE, "maximize")


@dataclass
class MlflowState:
    """What a manifest keeps of its runs in MLflow, beside those of its trials.

    Attributes:
        tracking_uri: of the store that the run ids belong to.
        key: by which the parent run is found again.
        parent_run_id: empty before there is one.
        superseded: keys of runs of trials that no longer count, not deleted yet.
    """

    tracking_uri: str = ""
    key: str = field(default_factory=_new_key)
    parent_run_id: str = ""
    superseded: list[str] = field(default_factory=list)


@dataclass
class Manifest:
    """The content of `sweep.json`.

    Attributes:
        spec: the resolved spec; `spec_hash` is its SHA-256.
        comparison_hash: of what training depends on beside swept values and seed: trials of two specs with
            the same one can be compared.
        profile: the profile it was run with; empty for none.
        objectives: the first one orders tables and names the winner.
        node: the kind of machine it runs on, as text.
        git: branch, `dirty` (true or false), and `repo`, its URL without credentials; empty without git.
        mlflow: where and how MLflow knows it.
        forked_from: name of the sweep that it began from; empty for none.
    """

    name: str
    spec: dict[str, Any]
    spec_hash: str
    comparison_hash: str
    profile: str
    objectives: list[Objective]
    created: str
    git_commit: str
    versions: dict[str, str]
    trials: list[TrialRecord]
    node: str = ""
    git: dict[str, str] = field(default_factory=dict)
    mlflow: MlflowState = field(default_factory=MlflowState)
    forked_from: str = ""

    @property
    def scheduler(self) -> str:
        """Type of the spec's scheduler."""
        return str((self.spec.get("scheduler") or {}).get("type", "fifo"))

    @property
    def phase_names(self) -> list[str]:
        """Of the curriculum, in its order; empty without one."""
        return [str(phase["name"]) for phase in (self.spec.get("curriculum") or {}).get("phases", [])]

    def trial(self, trial_id: str) -> TrialRecord:
        """The record of that id.

        Raises:
            KeyError: there is none.
        """
        found = next((record for record in self.trials if record.id == trial_id), None)
        if found is None:
            raise KeyError(trial_id)
        return found

    def add(self, record: TrialRecord) -> TrialRecord:
        """Append a trial, unless one of the same id is there already; returns the one that counts."""
        known = next((found for found in self.trials if found.id == record.id), None)
        if known is None:
            self.trials.append(record)
        return known or record

    def write(self, layout: RunLayout) -> None:
        """Replace `sweep.json`; what stood there before stays beside it."""
        layout.root.mkdir(parents=True, exist_ok=True)
        # Written again and again while trials change: json and asdict would take many times as long.
        data = to_json({"format": FORMAT} | vars(self), indent=1)
        write_state(layout.manifest, layout.manifest_before, data)

    @classmethod
    def read(cls, layout: RunLayout) -> Manifest:
        """Read `sweep.json`; where that is damaged, what stood there before.

        Raises:
            RunError: there is none, or neither can be read.
        """
        if not layout.manifest.exists():
            raise RunError(f"no run in {layout.root}: {layout.manifest.name} is missing")
        return read_state(layout.manifest, layout.manifest_before, cls._read)

    @classmethod
    def _read(cls, path: Path) -> Manifest:
        data = json.loads(path.read_text("utf-8"))
        found = data.pop("format")
        if found != FORMAT:
            raise RunError(f"{path} has format {found}, this reads {FORMAT}")
        return TypeAdapter(cls).validate_python(data)


def short_game(env_id: str) -> str:
    """`ALE/Pong-v5` -> `Pong`; another id as it is."""
    return env_id.removeprefix("ALE/").removesuffix("-v5") if env_id.startswith("ALE/") else env_id


def content_hash(data: Mapping[str, Any]) -> str:
    """SHA-256 of JSON data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def result_ending(result: Mapping[str, Any]) -> str:
    """How a trial ended by its last result: by its own stop, diverged, or stopped by the scheduler."""
    if result.get(HAS_DIVERGED):
        return DIVERGED
    return FINISHED if result.get(REACHED_STOP) else STOPPED
