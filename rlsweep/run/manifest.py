"""The manifest of a plan: its spec, versions and trials, each with the hash of what it depends on."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from analysis.own_rows import read_rows
from analysis.reading import last_row
from rlsweep.errors import PreflightError, SpecError
from rlsweep.plan import Plan, PlannedTrial
from rlsweep.plan.space import Values
from rlsweep.run.content import comparison_hash, hash_but_stop, is_longer, trial_hash
from rlsweep.run.outcomes import SeedResult
from rlsweep.run.throughput import this_node, workload
from rlsweep.spec import Sweep
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import (
    CONFIRM,
    DIVERGED,
    ENDED,
    FAILED,
    FINISHED,
    INTERRUPTED,
    PENDING,
    SEARCH,
    Manifest,
    Objective,
    TrialRecord,
    content_hash,
)
from rlsweep.store.rows import HUMAN_NORMALIZED, SCORE

_LIBRARIES = ("rlsweep", "ray", "torch", "gymnasium", "ale-py", "mlflow", "numpy")


def new_manifest(plan: Plan, profile: str = "") -> Manifest:
    """The manifest of a plan before anything ran."""
    spec = plan.sweep.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return Manifest(
        name=plan.sweep.name,
        spec=spec,
        spec_hash=content_hash(spec),
        comparison_hash=comparison_hash(plan.sweep),
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
        trial.id,
        trial.config_id,
        trial.values,
        trial.seed,
        trial_hash(trial),
        workload(trial),
        phase,
        hash_but_stop=hash_but_stop(trial),
        stop=trial.sweep.stop.model_dump(mode="json"),
    )


def objectives(sweep: Sweep) -> list[Objective]:
    """A sweep's objectives as the manifest keeps them.

    Scores of several games are on scales of their own; within a game `human_normalized` orders alike.
    """
    length = sweep.stop.env_steps
    keys = [HUMAN_NORMALIZED if sweep.games and o.key == SCORE else o.key for o in sweep.objective]
    return [
        Objective(key, o.goal, o.over_seeds, o.threshold, length)
        for key, o in zip(keys, sweep.objective, strict=True)
    ]


@dataclass(frozen=True)
class Continuation:
    """A plan laid over what the run folder already holds.

    Attributes:
        manifest: of the plan; trials that ended before keep their status.
        waiting: the records that have to run; begun ones go on from their checkpoints.
        superseded: earlier records that no longer count: of another spec.
        lost: those of them that had ended, in a run made without a profile: work that a user would miss.
    """

    manifest: Manifest
    waiting: list[TrialRecord]
    superseded: list[TrialRecord]
    lost: list[TrialRecord]


def continue_run(
    plan: Plan, before: Manifest | None, profile: str = "", *, retry_failed: bool = False
) -> Continuation:
    """What is left to do of `plan` where `before` is the run's manifest so far.

    A trial counts while it depends on the same content. One that ended is not run again, but for one that the
    scheduler stopped, where scheduler or objective are others now; one that failed, only on request. One that
    reached its stop goes on where that is a longer one now. Trials outside of the plan (another seed, another
    value) that have ended stay in the manifest as they are while they are comparable: same environment, same
    training, same stop. Where the stop is a longer one now they stay too, and are judged no more.
    """
    manifest = new_manifest(plan, profile)
    if before is None:
        return Continuation(manifest, list(manifest.trials), [], [])
    manifest.mlflow, manifest.forked_from = before.mlflow, before.forked_from
    same_scheduler = all(
        before.spec.get(part) == manifest.spec.get(part) for part in ("scheduler", "objective")
    )
    ended = ENDED if same_scheduler else (FINISHED, DIVERGED)
    known = {record.id: record for record in before.trials}
    if not plan.sweep.search.is_listed:
        manifest.trials += [new_record(trial) for trial in _still_planned(plan, before)]
    manifest.trials += [new_record(trial, CONFIRM) for trial in _confirmed(plan, before)]
    final = ended if retry_failed else (*ended, FAILED)
    superseded = []
    for record in manifest.trials:
        old = known.pop(record.id, None)
        if old is not None and (old.hash == record.hash or is_longer(record, old)):
            has_reached_another_stop = old.hash != record.hash and old.status == FINISHED
            stays = old.status in (*final, PENDING) and not has_reached_another_stop
            record.status = old.status if stays else INTERRUPTED
            record.mlflow_key, record.mlflow_run_id = old.mlflow_key, old.mlflow_run_id
        elif old is not None:
            superseded.append(old)
    waiting = [
        record
        for record in manifest.trials
        if record.status in (PENDING, INTERRUPTED) and record.phase == SEARCH
    ]
    is_comparable = before.comparison_hash == manifest.comparison_hash
    for old in known.values():
        is_kept = is_comparable and (old.status in final or old.phase == CONFIRM)
        if is_kept and old.status not in (*final, PENDING):
            old.status = INTERRUPTED  # the round of confirmation goes on with it
        if not is_comparable and old.status in final and (asked := _asked_for(plan, old)):
            is_kept, old.is_outgrown = True, asked.hash != old.hash
        (manifest.trials if is_kept else superseded).append(old)
    had_runs = [record for record in superseded if record.status != PENDING]
    manifest.mlflow.superseded += [record.mlflow_key for record in had_runs]
    lost = [] if before.profile else [old for old in superseded if old.status in ENDED]
    return Continuation(manifest, waiting, superseded, lost)


def _asked_for(plan: Plan, old: TrialRecord) -> TrialRecord | None:
    """What a trial outside of the plan would be in it; None where that is another one, not just longer."""
    try:
        asked = new_record(plan.trial(old.values, old.seed))
    except (SpecError, PreflightError):
        return None
    return asked if asked.hash == old.hash or is_longer(asked, old) else None


def _confirmed(plan: Plan, before: Manifest) -> list[PlannedTrial]:
    """The trials that have begun to confirm the best of the search."""
    found = []
    for record in before.trials:
        if record.status != PENDING and record.phase == CONFIRM and plan.sweep.confirm is not None:
            try:
                found.append(plan.trial(record.values, record.seed))
            except SpecError:
                continue  # another space now
    return found


def _still_planned(plan: Plan, before: Manifest) -> list[PlannedTrial]:
    """The trials that a search which learns has proposed in earlier runs, and that have begun."""
    found = []
    for record in before.trials:
        if record.status != PENDING and record.seed in plan.sweep.seeds and record.phase == SEARCH:
            try:
                trial = plan.trial(record.values, record.seed)
            except SpecError:
                continue  # another space now
            if trial_hash(trial) == record.hash or is_longer(new_record(trial), record):
                found.append(trial)
    return found


def known_results(manifest: Manifest, layout: RunLayout) -> list[tuple[Values, dict[int, SeedResult]]]:
    """The configurations of the search that earlier runs have begun, with how those seeds ended that have."""
    found: dict[str, tuple[Values, dict[int, SeedResult]]] = {}
    for record in manifest.trials:
        if record.status == PENDING or record.phase != SEARCH:
            continue
        _, results = found.setdefault(record.config_id, (record.values, {}))
        if record.status in (*ENDED, FAILED):
            rows, _ = read_rows(layout.result_json(record.id))
            results[record.seed] = SeedResult(record.status, last_row(rows))
    return list(found.values())


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
