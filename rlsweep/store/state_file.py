"""A state file that is rewritten whole, and the one before it, which counts where it is damaged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rlsweep.errors import RunError

State = TypeVar("State")

_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError)


def write_state(path: Path, before: Path, data: bytes) -> None:
    """Replace a file; at no moment there is none. What stood there stays as `before`.

    Raises:
        OSError: it cannot be written; then the file is as it was.
    """
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    if path.exists():
        older = before.with_suffix(".partial")
        older.unlink(missing_ok=True)
        try:
            os.link(path, older)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, older)
        older.replace(before)
    partial.replace(path)


def read_state(path: Path, before: Path, parse: Callable[[Path], State]) -> State:
    """What stands in a file; where that is damaged, what stood there before.

    Args:
        path, before: as they were written.
        parse: reads one of them, and raises what it likes where it cannot.

    Raises:
        RunError: neither can be read.
    """
    faults = []
    for candidate in (path, before, path.with_suffix(".partial")):  # the last: killed while it was replaced
        try:
            return parse(candidate)
        except _UNREADABLE as error:
            faults.append(error)
    raise RunError(f"{path} cannot be read: {faults[0]}")
