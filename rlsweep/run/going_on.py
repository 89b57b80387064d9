"""What an interrupted trial goes on from: its newest whole checkpoint, and the values that were in force."""

from __future__ import annotations

import json
import logging
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsweep.errors import RunError, UsageError, did_you_mean, nearest
from rlsweep.run.manifest import Continuation
from rlsweep.store.checkpoint import PROGRESS, VALUES, read_row, verify
from rlsweep.store.folders import delete, move
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import (
    CHECKPOINT,
    ENDED,
    FAILED,
    INTERRUPTED,
    PENDING,
    TRIAL,
    Manifest,
    Objective,
    TrialRecord,
)
from rlsweep.store.rows import ENV_STEPS, SCORE_VALID
from rlsweep.store.trust import check_trusted, in_words, other_writers

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """A whole checkpoint.

    Attributes:
        path: its folder.
        env_steps: it was taken after.
        value: of the objective there; NaN where that does not count.
    """

    path: Path
    env_steps: int
    value: float


def tune_config(record: TrialRecord, layout: RunLayout, objective: Objective, keep: int) -> dict[str, Any]:
    """The Tune configuration of a trial that begins, or goes on.

    Checkpoints of the attempt before are set aside, so that the next one's cannot be written over them; what
    is not whole is deleted, and so are those beyond the best `keep` and the newest.

    Args:
        record: of the trial.
        layout: of its run.
        objective: by which checkpoints are ranked.
        keep: how many of the best stay.
    """
    values = record.values
    found: dict[str, Any] = {"id": record.id, "values": values, "seed": record.seed}
    _set_aside(layout, record.id)
    kept = thin(layout, record.id, objective, keep)
    if kept:
        newest = kept[-1]
        in_force = json.loads((newest.path / PROGRESS).read_text("utf-8")).get(VALUES, values)
        found |= {"values": in_force, CHECKPOINT: layout.address(newest.path)}
    return {TRIAL: found}


def check_checkpoints(layout: RunLayout, storage: Storage, continuation: Continuation | None = None) -> None:
    """See that nobody else could have written what trials will go on from; warn where others can write later.

    A trial takes the checkpoints that lie in its folder, whether it has run before or not.

    Args:
        layout, storage: of the run.
        continuation: which of its trials go on; all where it is not given: another run begins from this one.

    Raises:
        PreflightError: somebody else could have.
    """
    final: set[str] = set()
    if continuation is not None:
        final |= {one.id for one in continuation.manifest.trials if one.status in (*ENDED, FAILED)}
        final |= {one.id for one in continuation.superseded}
    trials = {path.parent.name for path in layout.root.glob("*/checkpoint_*")} - final
    folders = [folder for trial_id in sorted(trials) for folder in layout.checkpoint_folders(trial_id)]
    found = [folder for folder in folders if folder.is_dir()]
    if found:
        check_trusted(found, storage.root)
    elif later := other_writers([layout.root], storage.root, content=False):
        logger.warning(
            "trials that fail or pause go on from checkpoints, and others can change those here:\n%s",
            in_words(later),
        )


def thin(layout: RunLayout, trial_id: str, objective: Objective, keep: int) -> list[Kept]:
    """Delete the whole checkpoints of a trial beyond the best `keep` and the newest; returns the others, the
    newest last: a member of a population may have more env steps in an older one."""
    kept = _kept(layout, trial_id, objective.key)
    sign = 1.0 if objective.maximize else -1.0
    ranked = sorted(kept, key=lambda one: (math.isfinite(one.value), sign * one.value, one.env_steps))
    staying = {one.path for one in [*ranked[-keep:], *kept[-1:]]}
    for one in kept:
        if one.path not in staying:
            delete(layout, one.path)
    return [one for one in kept if one.path in staying]


def rewind(layout: RunLayout, trial_ids: Sequence[str], at_env_steps: int) -> dict[str, int]:
    """Let trials go on from the checkpoint that is nearest to some env steps, with the sweep's next start.

    Later checkpoints move to `superseded/`; the rows behind it count until they have been made again.

    Args:
        layout: of the run, which must not be running.
        trial_ids: of it; empty for all that have begun.
        at_env_steps: of each.

    Returns:
        Trial id -> env steps of that checkpoint.

    Raises:
        UsageError: a trial is not in the run, or has no whole checkpoint.
    """
    manifest = Manifest.read(layout)
    known = {record.id: record for record in manifest.trials if record.status != PENDING}
    found: dict[str, Kept] = {}
    for trial_id in trial_ids or known:
        if trial_id not in known:
            raise UsageError(f"no trial {trial_id!r} has begun{did_you_mean(nearest(trial_id, known))}")
        kept = _kept(layout, trial_id, ENV_STEPS)
        if not kept and trial_ids:
            raise UsageError(f"{trial_id} has no whole checkpoint")
        if not kept:
            continue
        found[trial_id] = min(kept, key=lambda one: abs(one.env_steps - at_env_steps))
    for trial_id, chosen in found.items():
        for one in _kept(layout, trial_id, ENV_STEPS):
            if one.env_steps > chosen.env_steps:
                move(layout, one.path, _superseded(layout, one.path))
        known[trial_id].status = INTERRUPTED
    manifest.write(layout)
    return {trial_id: one.env_steps for trial_id, one in found.items()}


def _set_aside(layout: RunLayout, trial_id: str) -> None:
    """Name the present attempt's checkpoints by its number."""
    folders = layout.checkpoint_folders(trial_id)
    names = {path: RunLayout.CHECKPOINT.fullmatch(path.name) for path in folders}
    attempts = [int(match["attempt"]) for match in names.values() if match and match["attempt"]]
    attempt = max(attempts, default=0) + 1
    for path, match in names.items():
        if not _is_whole(layout, path):
            _discard(layout, path)
        elif match and not match["attempt"]:
            move(layout, path, path.with_name(f"checkpoint_{attempt}-{match['index']}"))


def _discard(layout: RunLayout, path: Path) -> None:
    """What is not whole is deleted; in a storage behind a URI it may be, and only its row be lost."""
    if layout.remote is None:
        delete(layout, path)
    else:
        move(layout, path, _superseded(layout, path))


def _superseded(layout: RunLayout, checkpoint: Path) -> Path:
    return layout.superseded / f"{checkpoint.parent.name}-{checkpoint.name}-{uuid.uuid4().hex[:8]}"


def _is_whole(layout: RunLayout, path: Path) -> bool:
    try:
        if layout.remote is not None:
            read_row(path)  # it was compared with the storage as it was laid out here
        else:
            verify(path)
    except RunError:
        return False
    return True


def _kept(layout: RunLayout, trial_id: str, key: str) -> list[Kept]:
    found = []
    for path in layout.checkpoints(trial_id):
        row = read_row(path)
        value = float(row.get(key, math.nan)) if row.get(SCORE_VALID, True) else math.nan
        found.append(Kept(path, int(row[ENV_STEPS]), value))
    return found
