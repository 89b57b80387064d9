"""The file system below a folder: how large it is, and what is free."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Volume:
    """The file system below a folder.

    Attributes:
        folder: whose file system it is.
        total_bytes, free_bytes: of the file system; free is what this user may take.
        used_percent: 0 to 100.
        is_writable: this user may write into the folder.
    """

    folder: Path
    total_bytes: int
    free_bytes: int
    used_percent: float
    is_writable: bool = True


def read_volume(folder: Path) -> Volume:
    """The file system of a folder, or of its nearest parent that is there: in which it will lie once it is
    made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    usage = psutil.disk_usage(str(there))
    is_writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return Volume(folder, usage.total, usage.free, usage.percent, is_writable)
