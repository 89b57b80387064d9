"""The manifest of a plan: its spec, versions and trials, each with the hash of what it depends on."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from analysis.comparison import last_row
from analysis.own_rows import read_rows
from rlsweep.errors import SpecError
from rlsweep.plan import Plan, PlannedTrial
from rlsweep.plan.space import Values
from rlsweep.run.searching import SeedResult
from rlsweep.run.throughput import this_node, workload
from rlsweep.spec import Sweep
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import (
    DIVERGED,
    ENDED,
    FINISHED,
    SEARCH,
    Manifest,
    Objective,
    TrialRecord,
    content_hash,
)

_LIBRARIES = ("rlsweep", "ray", "torch", "gymnasium", "ale-py", "mlflow", "numpy")

_TRAINING_SECTIONS = ("algorithm", "training", "network", "stop")
_TRAINING_RESOURCES = ("env_runners", "envs_per_env_runner", "learners")
_TRAINING_IF_WRITTEN = ("exploration", "curriculum", "callbacks")
"""What a trial's result depends on; the rest of the spec may change without making it another experiment. A
section that came later counts where it says something: trials of before have the hash that they had."""


def new_manifest(plan: Plan, profile: str = "") -> Manifest:
    """The manifest of a plan before anything ran."""
    spec = plan.sweep.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return Manifest(
        name=plan.sweep.name,
        spec=spec,
        spec_hash=content_hash(spec),
        comparison_hash=content_hash(_training_part(plan.sweep)),
        profile=profile,
        objectives=objectives(plan.sweep),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        git_commit=git_commit(),
        versions={"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES},
        trials=[new_record(trial) for trial in plan.trials],
        node=this_node(),
        git=git_state(),
    )


def new_record(trial: PlannedTrial, phase: str = SEARCH) -> TrialRecord:
    """A trial that has not run yet."""
    return TrialRecord(
        trial.id, trial.config_id, trial.values, trial.seed, trial_hash(trial), workload(trial), phase
    )


def objectives(sweep: Sweep) -> list[Objective]:
    """A sweep's objectives as the manifest keeps them."""
    length = sweep.stop.env_steps
    return [Objective(o.key, o.goal, o.over_seeds, o.threshold, length) for o in sweep.objective]


@dataclass(frozen=True)
class Continuation:
    """A plan laid over what the run folder already holds.

    Attributes:
        manifest: of the plan; trials that ended before keep their status.
        waiting: the records that have to run.
        superseded: earlier records that no longer count: interrupted, or of another spec.
        lost: those of them that had ended, in a run made without a profile: work that a user would miss.
    """

    manifest: Manifest
    waiting: list[TrialRecord]
    superseded: list[TrialRecord]
    lost: list[TrialRecord]


def continue_run(plan: Plan, before: Manifest | None, profile: str = "") -> Continuation:
    """What is left to do of `plan` where `before` is the run's manifest so far.

    A trial that ended is kept if it depends on the same content; one that the scheduler stopped, only while
    scheduler and objective are the same. Trials outside of the plan (another seed, another value) stay in
    the manifest while they are comparable: same environment, same training, same stop.
    """
    manifest = new_manifest(plan, profile)
    if before is None:
        return Continuation(manifest, list(manifest.trials), [], [])
    manifest.mlflow = before.mlflow
    same_scheduler = all(
        before.spec.get(part) == manifest.spec.get(part) for part in ("scheduler", "objective")
    )
    ended = ENDED if same_scheduler else (FINISHED, DIVERGED)
    known = {record.id: record for record in before.trials}
    if not plan.sweep.search.is_listed:
        manifest.trials += [new_record(trial) for trial in _still_planned(plan, before, ended)]
    superseded = []
    for record in manifest.trials:
        old = known.pop(record.id, None)
        if old is not None and old.hash == record.hash and old.status in ended:
            record.status = old.status
            record.mlflow_key, record.mlflow_run_id = old.mlflow_key, old.mlflow_run_id
        elif old is not None:
            superseded.append(old)
    waiting = [record for record in manifest.trials if record.status not in ENDED]
    is_comparable = before.comparison_hash == manifest.comparison_hash
    for old in known.values():
        (manifest.trials if is_comparable and old.status in ended else superseded).append(old)
    manifest.mlflow.superseded += [record.mlflow_key for record in superseded]
    lost = [] if before.profile else [old for old in superseded if old.status in ENDED]
    return Continuation(manifest, waiting, superseded, lost)


def _still_planned(plan: Plan, before: Manifest, ended: tuple[str, ...]) -> list[PlannedTrial]:
    """The trials that a search which learns has proposed in earlier runs, and that have ended."""
    found = []
    for record in before.trials:
        if record.status in ended and record.seed in plan.sweep.seeds and record.phase == SEARCH:
            try:
                trial = plan.trial(record.values, record.seed)
            except SpecError:
                continue  # another space now
            if trial_hash(trial) == record.hash:
                found.append(trial)
    return found


def known_results(manifest: Manifest, layout: RunLayout) -> list[tuple[Values, dict[int, SeedResult]]]:
    """The configurations of the search that earlier runs have tried, with how their seeds ended."""
    found: dict[str, tuple[Values, dict[int, SeedResult]]] = {}
    for record in manifest.trials:
        if record.status in ENDED and record.phase == SEARCH:
            rows, _ = read_rows(layout.result_json(record.id))
            _, results = found.setdefault(record.config_id, (record.values, {}))
            results[record.seed] = SeedResult(record.status, last_row(rows))
    return list(found.values())


def trial_hash(trial: PlannedTrial) -> str:
    """Hash of everything that a trial's result depends on: resolved spec and seed."""
    return content_hash({"spec": _training_part(trial.sweep), "seed": trial.seed})


def git_commit() -> str:
    """The commit of the working directory; empty outside a checkout."""
    return _git("rev-parse", "HEAD")


def git_state() -> dict[str, str]:
    """Branch, `dirty` and repository (without credentials) of the working directory; empty outside one."""
    branch = _git("rev-parse", "--abbrev-ref", "HEAD")
    if not branch:
        return {}
    is_dirty = bool(_git("status", "--porcelain", "--untracked-files=no"))
    found = {"branch": branch, "dirty": str(is_dirty).lower()}
    url = urlsplit(_git("config", "--get", "remote.origin.url"))
    if url.hostname:  # else a path, or nothing
        host = url.hostname + (f":{url.port}" if url.port else "")
        found["repo"] = urlunsplit((url.scheme, host, url.path, "", ""))
    return found


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, cwd=Path.cwd())
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _training_part(sweep: Sweep) -> dict[str, Any]:
    """Everything that training depends on, defaults filled in: writing a default changes nothing."""
    dumped = sweep.model_dump(mode="json")
    settings = sweep.env.atari.model_dump(mode="json") if sweep.env.is_atari else {}
    return {
        "env": dumped["env"] | settings | {"protocol": None},
        "resources": {name: dumped["resources"][name] for name in _TRAINING_RESOURCES},
        **{section: dumped[section] for section in _TRAINING_SECTIONS},
        **{section: dumped[section] for section in _TRAINING_IF_WRITTEN if _is_written(sweep, section)},
    }


def _is_written(sweep: Sweep, section: str) -> bool:
    return bool(getattr(sweep, section) != Sweep.model_fields[section].default)
