"""Room on disk: looked at before a sweep, while it runs, and before a checkpoint goes to the storage."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback

from rlsweep.errors import PreflightError
from rlsweep.run.volume import read_volume

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""Between two looks of a sweep that runs."""

LONGEST_WAIT_SECONDS = 600.0
"""How long a checkpoint that has to be written now waits for room, before its trial fails."""

SPARE_BYTES = 16 * 2**20
"""Left to histories, manifests and MLflow beside a checkpoint."""

GB = 10**9


def free_bytes(folder: Path) -> int:
    """Free bytes where a folder lies, or will lie once it is made."""
    return read_volume(folder).free_bytes


def check_room(folder: Path, min_free_bytes: int) -> None:
    """Refuse to begin where there is no room.

    Raises:
        PreflightError: less than that is free.
    """
    free = free_bytes(folder)
    if free < min_free_bytes:
        raise PreflightError(
            f"{free / GB:.2f} GB are free in {folder}, checkpoints.min_free asks for "
            f"{min_free_bytes / GB:.2f} GB; make room, or lower it",
            key="checkpoints.min_free",
        )


class Room:
    """Whether there is room where a trial's checkpoints go, seen from where it runs.

    Args:
        storage: Tune's context of the trial's storage; None for a trial without one.
        min_free_bytes: with less, no checkpoint is made that can wait.
    """

    def __init__(self, storage: Any, min_free_bytes: int) -> None:
        is_folder = storage is not None and storage.storage_filesystem.type_name == "local"
        self._folder = Path(storage.storage_fs_path) if is_folder else None
        self._min_free_bytes = min_free_bytes

    def is_there(self) -> bool:
        """Whether a checkpoint may be made that can wait."""
        return self._folder is None or free_bytes(self._folder) >= self._min_free_bytes

    def wait_for(self, checkpoint: Path) -> None:
        """Wait until a checkpoint fits.

        Raises:
            OSError: it does not within LONGEST_WAIT_SECONDS.
        """
        if self._folder is None:
            return
        needed = SPARE_BYTES + sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        while free_bytes(self._folder) < needed:
            if time.monotonic() > deadline:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder))
            time.sleep(1)


class DiskWatch(Callback):
    """Says when room runs out and when there is some again, and thins the checkpoints of ended trials.

    That no trial makes a checkpoint meanwhile which can wait is its own doing (`rlsweep.run.trial`): each
    looks at the storage from where it runs.

    Args:
        folder: of the runs.
        min_free_bytes: the watermark.
        thin: deletes the checkpoints that the sweep can do without.
    """

    def __init__(self, folder: Path, min_free_bytes: int, thin: Callable[[], None]) -> None:
        self._folder, self._min_free_bytes, self._thin = folder, min_free_bytes, thin
        self._next_look = 0.0
        self._is_short = False

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        if self._is_full() and not self._is_short:
            self._thin()
        is_short = self._is_full()
        if is_short != self._is_short:
            self._is_short = is_short
            logger.warning(
                "%.2f GB are free in %s, %s",
                free_bytes(self._folder) / GB,
                self._folder,
                f"less than checkpoints.min_free ({self._min_free_bytes / GB:.2f} GB): trials go on without "
                "checkpoints until there is room"
                if is_short
                else "checkpoints are made again",
            )

    def _is_full(self) -> bool:
        return free_bytes(self._folder) < self._min_free_bytes
