"""`launch`: a plan, and what its run folder holds already, under Ray Tune."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rlsweep.errors import PreflightError
from rlsweep.plan import Plan
from rlsweep.rl import preflight
from rlsweep.run.disk import check_room
from rlsweep.run.fork import differences, fork
from rlsweep.run.going_on import check_checkpoints
from rlsweep.run.lock import locked
from rlsweep.run.manifest import Continuation, continue_run
from rlsweep.run.rounds import Rounds
from rlsweep.run.tracking_store import check_tracking
from rlsweep.run.trial import MakeTrainable, trainable_for
from rlsweep.store.folders import delete, move
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest
from rlsweep.store.mirror import bring, mirrored


@dataclass(frozen=True)
class Launched:
    """What came of a launch.

    Attributes:
        manifest: with each trial's status.
        limit: of the spec, which has cut the sweep off, as words; empty where it ran to its end.
        is_tracked: MLflow has all of it but the report.
    """

    manifest: Manifest
    limit: str = ""
    is_tracked: bool = True


def launch(
    plan: Plan,
    storage: Storage,
    *,
    profile: str = "",
    supersede: bool = False,
    retry_failed: bool = False,
    trust: bool = False,
    fork_of: str = "",
    files: Sequence[Path] = (),
    make_trainable: MakeTrainable = trainable_for,
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
        trust: go on from checkpoints that others could have written.
        fork_of: name of the run that this one begins from, where it has not begun yet.
        files: of the spec, kept beside the resolved one in the manifest.
        make_trainable: gives the class of its trials; another one simulates them.

    Returns:
        How every trial stands, and which limit of the spec ended the sweep.

    Raises:
        PreflightError: a trial cannot run on this machine, its disk is full, another process is running this
            sweep, the run holds ended trials of another spec, or others could have written its checkpoints.
        SweepInterruptedError: it was told to stop; what ran has left a checkpoint.
        RunError: the run that it begins from is none; or Ray has died.
    """
    preflight.check(plan)
    if storage.remote is None:
        check_room(storage.root, plan.sweep.checkpoints.min_free)
    check_tracking(storage)
    layout = storage.run(plan.sweep.name)
    if fork_of and plan.sweep.name not in storage.run_names():
        source = storage.run(fork_of)
        bring(source)
        Manifest.read(source)  # raises where there is none, before anything is made
    layout.root.mkdir(parents=True, exist_ok=True)
    with locked(layout), mirrored(layout):
        before = Manifest.read(layout) if layout.manifest.exists() else None
        if before is None and fork_of:
            source = storage.run(fork_of)
            with locked(source), mirrored(source):
                if not trust:
                    check_checkpoints(source, storage)
                continuation = fork(plan, source, layout, profile, retry_failed=retry_failed)
        else:
            continuation = continue_run(plan, before, profile, retry_failed=retry_failed)
        if before is not None and continuation.lost and not supersede:
            raise PreflightError(_refusal(layout, before, continuation))
        if not trust:
            check_checkpoints(layout, storage, continuation)
        _set_aside([record.id for record in continuation.superseded], layout)
        continuation.manifest.write(layout)
        _keep(files, layout)
        rounds = Rounds(plan, continuation, layout, storage, make_trainable)
        return _run(rounds, plan, continuation.manifest)


def _refusal(layout: RunLayout, before: Manifest, continuation: Continuation) -> str:
    changes = "\n".join(f"  {one}" for one in differences(before.spec, continuation.manifest.spec))
    return (
        f"{layout.root} holds {len(continuation.lost)} ended trials of another spec, first "
        f"{continuation.lost[0].id}:\n{changes}\n"
        "--fork NAME starts another sweep that begins with what the two have in common; --set name=NAME one "
        "that begins with nothing; --supersede sets those trials aside"
    )


def _run(rounds: Rounds, plan: Plan, manifest: Manifest) -> Launched:
    rounds.search()
    if plan.sweep.confirm is not None:
        rounds.confirm(plan.sweep.confirm)
    return Launched(manifest, rounds.limit, rounds.is_tracked)


def _keep(files: Sequence[Path], layout: RunLayout) -> None:
    delete(layout, layout.spec)
    for path in files:
        layout.spec.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, layout.spec / kept_name(path))


def kept_name(path: Path) -> str:
    """What a file of the spec is called beside the manifest: its own name behind that of its folder."""
    return "-".join(path.relative_to(path.anchor).parts[-2:])


def _set_aside(trial_ids: list[str], layout: RunLayout) -> None:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for trial_id in trial_ids:
        if layout.trial(trial_id).exists():
            move(layout, layout.trial(trial_id), layout.superseded / f"{trial_id}-{moment}")
