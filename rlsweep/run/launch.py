"""`launch`: a plan, and what its run folder holds already, under Ray Tune."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from rlsweep.errors import PreflightError
from rlsweep.plan import Plan
from rlsweep.rl import preflight
from rlsweep.run.manifest import Continuation, continue_run
from rlsweep.run.rounds import Rounds
from rlsweep.run.tracking_store import check_tracking
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest


@dataclass(frozen=True)
class Launched:
    """What came of a launch.

    Attributes:
        manifest: with each trial's status.
        spent: what of the budget is spent, as words; empty where the sweep ran to its end.
        is_tracked: MLflow has all of it but the report.
    """

    manifest: Manifest
    spent: str = ""
    is_tracked: bool = True


def launch(
    plan: Plan,
    storage: Storage,
    *,
    profile: str = "",
    supersede: bool = False,
    retry_failed: bool = False,
    files: Sequence[Path] = (),
) -> Launched:
    """Run every trial of a plan that has not ended yet.

    A trial that ended before, with the same spec and seed, is not run again; one that was interrupted goes on
    from its last whole checkpoint. One whose spec has changed starts anew; its old folder moves to
    `superseded/`, its old run to MLflow's deleted ones.

    Args:
        plan: made for the machine of the running `ray_session` (`rlsweep.run.session`).
        storage: where the run folder and the embedded MLflow store lie.
        profile: name of the spec's profile, noted in the manifest.
        supersede: set aside ended trials of another spec under the same name, instead of refusing.
        retry_failed: trials that failed go on too.
        files: of the spec, kept beside the resolved one in the manifest.

    Returns:
        How every trial stands, and what of the budget is spent.

    Raises:
        PreflightError: a trial cannot run on this machine, another process is running this sweep, or the
            run holds ended trials of another spec.
        SweepInterruptedError: it was told to stop; what ran has left a checkpoint.
    """
    preflight.check(plan)
    check_tracking(storage)
    layout = storage.run(plan.sweep.name)
    layout.root.mkdir(parents=True, exist_ok=True)
    with locked(layout):
        before = Manifest.read(layout) if layout.manifest.exists() else None
        continuation = continue_run(plan, before, profile, retry_failed=retry_failed)
        if continuation.lost and not supersede:
            raise PreflightError(
                f"{layout.root} holds {len(continuation.lost)} ended trials of another spec, first "
                f"{continuation.lost[0].id}; give this one another name (--set name=…), or set them aside "
                "with --supersede"
            )
        return _launch(plan, storage, layout, continuation, files)


@contextmanager
def locked(layout: RunLayout) -> Iterator[None]:
    """A run is written to by one process at a time.

    Raises:
        PreflightError: by another one, now.
    """
    lock = FileLock(layout.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise PreflightError(f"{layout.root} is in use: another process runs this sweep") from None
    try:
        yield
    finally:
        lock.release()


def _launch(
    plan: Plan, storage: Storage, layout: RunLayout, continuation: Continuation, files: Sequence[Path]
) -> Launched:
    rounds = Rounds(plan, continuation, layout, storage)
    _set_aside([layout.trial(record.id) for record in continuation.superseded], layout)
    continuation.manifest.write(layout)
    _keep(files, layout.spec)
    rounds.search()
    if plan.sweep.confirm is not None and not rounds.spent:
        rounds.confirm(plan.sweep.confirm)
    return Launched(continuation.manifest, rounds.spent, rounds.is_tracked)


def _keep(files: Sequence[Path], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for path in files:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / "-".join(path.parts[-2:]))


def _set_aside(folders: list[Path], layout: RunLayout) -> None:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for folder in folders:
        if folder.exists():
            target = layout.superseded / f"{folder.name}-{moment}"
            target.parent.mkdir(exist_ok=True)
            shutil.move(folder, target)
