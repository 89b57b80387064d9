"""Checkpoint folders: RLlib's checkpoint, the policy as a bundle, our progress, and a manifest.

The manifest is written last and names every file with size and SHA-256: a checkpoint without one, or with
one that does not match, is not taken for whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rlsweep.errors import RunError
from rlsweep.store.layout import RunLayout

ALGORITHM = "algorithm"
PROGRESS = "progress.json"
VALUES = "values"
"""Key of PROGRESS: the swept values in force, which a population changes."""

REPLAY = "replay.zst"
"""DQN's replay buffer, where the spec asks for it."""


def write_manifest(folder: Path, row: Mapping[str, Any]) -> None:
    """Seal a checkpoint folder. `row` is the last result row, kept so that checkpoints can be ranked."""
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != RunLayout.CHECKPOINT_MANIFEST
    }
    target = folder / RunLayout.CHECKPOINT_MANIFEST
    partial = target.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as stream:
        json.dump({"row": dict(row), "files": files}, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(target)


def read_row(folder: Path) -> dict[str, Any]:
    """The result row that the checkpoint was taken after.

    Raises:
        RunError: the folder has no readable manifest.
    """
    return _read_manifest(folder).row


def file_sizes(folder: Path) -> dict[str, int]:
    """Name -> bytes of every file that belongs to a checkpoint, its manifest aside.

    Raises:
        RunError: the folder has no readable manifest.
    """
    return {name: seal.bytes for name, seal in _read_manifest(folder).files.items()}


def verify(folder: Path, part: str = "") -> None:
    """Compare every file with the manifest.

    Args:
        folder: of the checkpoint.
        part: a folder in it; all of it by default.

    Raises:
        RunError: a file is missing or not as it was written.
    """
    for name, seal in _read_manifest(folder).files.items():
        if not Path(name).is_relative_to(part):
            continue
        path = folder / name
        if not path.is_file():
            raise RunError(f"{folder} is no whole checkpoint: {name} is missing")
        if path.stat().st_size != seal.bytes or _sha256(path) != seal.sha256:
            raise RunError(f"{folder} is damaged: {name} is not as it was written")


def newest_whole(folder: Path) -> Path:
    """A checkpoint; where it is not whole, the newest one of the same trial before it that is.

    Raises:
        RunError: none is; what is wrong with the first.
    """
    known = RunLayout(folder.parent.parent).checkpoint_folders(folder.parent.name)
    before = known[: known.index(folder)] if folder in known else []
    return first_whole((folder, *reversed(before)))


def first_whole(folders: Iterable[Path]) -> Path:
    """The first of some checkpoints that is whole.

    Args:
        folders: at least one; each is asked for when the one before is not whole.

    Raises:
        RunError: none is; what is wrong with the first.
    """
    faults = []
    for folder in folders:
        try:
            verify(folder)
        except RunError as error:
            faults.append(error)
        else:
            return folder
    raise faults[0]


class _Seal(BaseModel):
    bytes: int
    sha256: str


class _Manifest(BaseModel):
    row: dict[str, Any]
    files: dict[str, _Seal]


def _read_manifest(folder: Path) -> _Manifest:
    try:
        return _Manifest.model_validate_json((folder / RunLayout.CHECKPOINT_MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{folder} is no whole checkpoint: {error}") from None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
