"""One writer for a run: the lock on its folder, which says whose it is, and is taken over from the dead."""

from __future__ import annotations

import getpass
import json
import logging
import os
import platform
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from rlsweep.errors import PreflightError
from rlsweep.spec.quantities import duration
from rlsweep.store.layout import RunLayout

logger = logging.getLogger(__name__)

BEAT_SECONDS = 15.0
DEAD_SECONDS = 90.0
"""How often an owner gives a sign of life, and without how many it counts as dead. Needed where the lock of
the file system does not reach another machine; on one machine the lock ends with its process."""


@dataclass(frozen=True)
class Owner:
    """Who writes to a run.

    Attributes:
        user, host, pid: of the process.
        started: Unix time in seconds.
    """

    user: str
    host: str
    pid: int
    started: float

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(getpass.getuser(), platform.node(), os.getpid(), time.time())

    @classmethod
    def read(cls, path: Path) -> Owner | None:
        """The owner that a file names; None where there is no such file, or it is cut off."""
        try:
            return cls(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def __str__(self) -> str:
        since = duration(max(0.0, time.time() - self.started))
        return f"process {self.pid} of {self.user} on {self.host}, since {since}"


@contextmanager
def locked(layout: RunLayout) -> Iterator[None]:
    """Be the one who writes to a run, for the time of the block.

    Raises:
        PreflightError: another process is, here or on a machine that shares the storage.
    """
    lock = FileLock(layout.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        owner = Owner.read(layout.owner) or "another process"
        raise PreflightError(f"{layout.root} is in use by {owner}") from None
    except NotImplementedError:  # a file system without locks: signs of life have to do
        pass
    try:
        _take_over(layout)
        with _signs_of_life(layout.owner):
            yield
    finally:
        lock.release()


def _take_over(layout: RunLayout) -> None:
    before = Owner.read(layout.owner)
    if before is None:
        return
    silent_seconds = _now_on(layout.root) - layout.owner.stat().st_mtime
    if before.host != platform.node() and silent_seconds < DEAD_SECONDS:
        raise PreflightError(
            f"{layout.root} is in use by {before}, last sign of life {silent_seconds:.0f} s ago; "
            f"it can be taken over after {DEAD_SECONDS:.0f} s without one"
        )
    logger.warning("%s was left by %s; it is taken over", layout.root, before)


def _now_on(folder: Path) -> float:
    """The time by the clock of a folder's file system, in seconds."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock-") as probe:
        return Path(probe.name).stat().st_mtime


@contextmanager
def _signs_of_life(path: Path) -> Iterator[None]:
    partial = path.with_suffix(".partial")
    try:
        partial.write_text(json.dumps(asdict(Owner.here())) + "\n", "utf-8")
        partial.replace(path)
    except OSError as error:
        raise PreflightError(f"{path.parent} cannot be written to: {error}") from None
    ends = threading.Event()

    def beat() -> None:
        while not ends.wait(BEAT_SECONDS):
            try:
                os.utime(path)
            except OSError as error:
                logger.warning("no sign of life can be left in %s: %s", path, error)

    thread = threading.Thread(target=beat, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()
        path.unlink(missing_ok=True)
