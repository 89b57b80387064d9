"""The runs of a storage: who works on them, which their driver has left, which cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from rlsweep.errors import RunError
from rlsweep.run.doctor_finding import Finding, Level, counted
from rlsweep.run.doctor_process_facts import read_processes
from rlsweep.run.doctor_remote import SUBJECT, remote_findings
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import RUNNING, Manifest


@dataclass(frozen=True)
class RunFacts:
    """One run.

    Attributes:
        folder: where it lies.
        running_trials: how many its manifest says are running.
        is_locked: a process holds its lock; None where this user may not try.
        holders: pids of this user's processes that have the lock open.
        damage: why its manifest cannot be read; empty where it can.
    """

    folder: Path
    running_trials: int = 0
    is_locked: bool | None = False
    holders: tuple[int, ...] = ()
    damage: str = ""


def run_findings(storage: Storage) -> list[Finding]:
    """Look at every run of the storage; each lock is taken for an instant, and changed by nothing."""
    if storage.remote is not None:
        return remote_findings(storage, storage.remote)
    layouts = [RunLayout(path.parent) for path in sorted(storage.root.glob("*/sweep.json"))]
    return judge_runs(storage.root, [read_run(layout) for layout in layouts])


def read_run(layout: RunLayout) -> RunFacts:
    """How a run stands by its manifest and its lock."""
    is_locked = _is_locked(layout.lock)
    holders = _holders(layout.lock.resolve()) if is_locked else ()
    try:
        trials = Manifest.read(layout).trials
    except RunError as error:
        return RunFacts(layout.root, 0, is_locked, holders, str(error).splitlines()[0])
    running = sum(record.status == RUNNING for record in trials)
    return RunFacts(layout.root, running, is_locked, holders)


def judge_runs(storage: Path, runs: Sequence[RunFacts]) -> list[Finding]:
    """One finding for each run that is in use or in trouble, one for all others."""
    judged = [_judge_run(run) for run in runs]
    told = [finding for findings in judged for finding in findings]
    quiet = judged.count([])
    if told and not quiet:
        return told
    at_rest = f"{counted(quiet, 'run')} in {storage}, whole and in nobody's use"
    return [*told, Finding(Level.OK, SUBJECT, at_rest if quiet else f"no run in {storage}")]


def _judge_run(run: RunFacts) -> list[Finding]:
    name = run.folder.name
    damaged = Finding(
        Level.PROBLEM,
        SUBJECT,
        run.damage,
        f"put sweep.json back from a copy, or move {run.folder} out of the way: the rows and checkpoints of "
        "its trials are untouched",
    )
    return [*([damaged] if run.damage else []), *_judge_lock(run, name)]


def _judge_lock(run: RunFacts, name: str) -> list[Finding]:
    trials = f"{counted(run.running_trials, 'trial')} of {name} stand as running"
    if run.is_locked and run.holders:
        pids = ", ".join(f"pid {pid}" for pid in run.holders)
        return [Finding(Level.OK, SUBJECT, f"{name} is in use ({pids}); {run.running_trials} trials running")]
    if run.is_locked:
        text = f"{name} is in use by a process that cannot be seen from here: another user's or machine's"
        return [Finding(Level.NOTE, SUBJECT, text, "let it end before you run, sync or rewind this run")]
    if not run.running_trials:
        return []
    if run.is_locked is None:
        text = f"{trials}; whether somebody works on it cannot be told, this user may not open its lock"
        return [Finding(Level.NOTE, SUBJECT, text, f"ask the owner of {run.folder}")]
    text = f"{trials}, but nobody holds its lock: its driver was killed"
    remedy = "run the same `rlsweep run …` again: they go on from their last checkpoints"
    return [Finding(Level.WARNING, SUBJECT, text, remedy)]


def _is_locked(lock: Path) -> bool | None:
    """Whether somebody holds it. The file stays where a run has ended: alone it says nothing."""
    if not lock.is_file():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except PermissionError:
        return None


def _holders(lock: Path) -> tuple[int, ...]:
    """Processes of this user that have it open."""
    return tuple(pid for pid, one in read_processes().items() if str(lock) in one.files)
