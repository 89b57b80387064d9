"""Checkpoints in a storage behind a URI: what there is of them, laid out in the working copy.

Of a whole one its manifest and its progress are here, and the rest when somebody needs it
(`store.folders.fetch`); of one that is not whole there is an empty folder.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlsweep.errors import RunError
from rlsweep.store.checkpoint import PROGRESS, file_sizes, read_row
from rlsweep.store.layout import RunLayout
from rlsweep.store.remote import Remote, Stamp, at_once
from rlsweep.store.rows import ENV_STEPS, SECONDS
from rlsweep.store.sent_files import checkpoint_file

TAIL_BYTES = 2**16
"""Of a history, where a checkpoint's row is looked for first."""


def refresh_checkpoints(layout: RunLayout, trial_id: str) -> None:
    """See which checkpoints a trial has now; nothing to do where the storage is a folder.

    Raises:
        RunError: the storage cannot be reached.
    """
    if layout.remote is not None:
        place_checkpoints(layout, layout.remote, layout.remote.files(trial_id), [trial_id])


def place_checkpoints(
    layout: RunLayout, remote: Remote, there: Mapping[str, Stamp], trial_ids: list[str] | None = None
) -> None:
    """Lay out here what the storage has.

    A checkpoint counts as whole where the storage has all that its manifest names, since there the manifest
    is not written last, and where the history here has its row: a driver may die before it has sent that.

    Args:
        layout, remote: of the run.
        there: every file of the run, or of its trials, in the storage.
        trial_ids: those that it is about; all by default.

    Raises:
        RunError: the storage cannot be reached.
    """
    found: dict[str, dict[str, Stamp]] = defaultdict(dict)
    for name, stamp in there.items():
        if place := checkpoint_file(name):
            found[place[0]][place[1]] = stamp
    if trial_ids is None:
        trial_ids = [one.name for one in layout.root.iterdir() if one.is_dir()]
    for folder in [one for trial_id in trial_ids for one in layout.checkpoint_folders(trial_id)]:
        if layout.name_of(folder) not in found:
            shutil.rmtree(folder, ignore_errors=True)
    small = {
        f"{name}/{file}": files[file]
        for name, files in found.items()
        for file in (RunLayout.CHECKPOINT_MANIFEST, PROGRESS)
        if file in files and not _is_here(layout.root / name / file, files[file])
    }
    at_once(lambda name: remote.fetch(name, layout.root / name, small[name]), small)
    for name, files in found.items():
        if not _is_whole(layout.root / name, {name: stamp.bytes for name, stamp in files.items()}):
            _empty(layout.root / name)
    for trial_id in {name.partition("/")[0] for name in found}:
        _hide_unknown(layout, trial_id)


def _hide_unknown(layout: RunLayout, trial_id: str) -> None:
    """Take newest checkpoints whose rows are missing in the history for not whole."""
    for folder in reversed(layout.checkpoints(trial_id)):
        if _has_row(layout.result_json(trial_id), read_row(folder)):
            return  # so have those before it
        _empty(folder)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def _is_here(path: Path, there: Stamp) -> bool:
    if not path.exists():
        return False
    found = path.stat()
    return found.st_size == there.bytes and abs(found.st_mtime - there.seconds) < 1e-3


def _is_whole(folder: Path, sizes: Mapping[str, int]) -> bool:
    try:
        wanted = file_sizes(folder)
    except RunError:
        return False
    return all(sizes.get(name) == size for name, size in wanted.items())


def _has_row(history: Path, row: Mapping[str, Any]) -> bool:
    """Whether a history has a row: another attempt's has another time."""
    if not history.exists():
        return False
    start = max(0, history.stat().st_size - TAIL_BYTES)
    wanted = row.get(ENV_STEPS), row.get(SECONDS)
    for at in [start, 0] if start else [0]:
        with history.open("rb") as stream:
            stream.seek(at)
            if any(_key(line) == wanted for line in stream):
                return True
    return False


def _key(line: bytes) -> tuple[Any, Any] | None:
    try:
        row = json.loads(line)
        return row.get(ENV_STEPS), row.get(SECONDS)
    except (ValueError, AttributeError):  # cut off, or no row
        return None
