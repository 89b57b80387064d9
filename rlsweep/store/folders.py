"""Folders of a run that are moved, deleted or needed whole: here, and behind the URI of its storage."""

from __future__ import annotations

import shutil
from pathlib import Path

from rlsweep.store.checkpoint import file_sizes
from rlsweep.store.layout import RunLayout
from rlsweep.store.remote import at_once


def delete(layout: RunLayout, folder: Path) -> None:
    """Delete a folder of a run; fine where there is none.

    Raises:
        RunError: the storage cannot be reached.
    """
    if layout.remote is not None:
        layout.remote.delete(layout.name_of(folder))
    shutil.rmtree(folder, ignore_errors=True)


def move(layout: RunLayout, folder: Path, target: Path) -> None:
    """Give a folder of a run another place in it.

    Raises:
        RunError: the storage cannot be reached.
    """
    if layout.remote is not None:
        layout.remote.move(layout.name_of(folder), layout.name_of(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, target)


def copy(source: RunLayout, target: RunLayout, name: str) -> None:
    """Copy a folder of one run to another run of the same storage, where it replaces one of that name.

    Raises:
        RunError: the storage cannot be reached.
    """
    shutil.rmtree(target.root / name, ignore_errors=True)
    if source.remote is not None and target.remote is not None:
        target.remote.delete(name)
        target.remote.copy_from(source.remote, name)
    if (source.root / name).is_dir():
        shutil.copytree(source.root / name, target.root / name)


def fetch(layout: RunLayout, checkpoint: Path, part: str = "") -> None:
    """See that the files of a whole checkpoint are here.

    Args:
        layout: of the run.
        checkpoint: its folder.
        part: a folder in it; all of it by default.

    Raises:
        RunError: the storage cannot be reached.
    """
    if layout.remote is None:
        return
    remote, name = layout.remote, layout.name_of(checkpoint)
    wanted = {one: size for one, size in file_sizes(checkpoint).items() if Path(one).is_relative_to(part)}
    missing = [one for one, size in wanted.items() if not _has_size(checkpoint / one, size)]
    at_once(lambda one: remote.fetch(f"{name}/{one}", checkpoint / one), missing)


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
