"""One writer for a run: the lock on its folder, which says whose it is, and is taken over from the dead."""

from __future__ import annotations

import logging
import os
import platform
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
from filelock import FileLock, Timeout

from rlsweep.errors import PreflightError, RunError
from rlsweep.run.signs_of_life import Owner, SignsInFolder, SignsInRemote, SignsOfLife
from rlsweep.store.background import in_background
from rlsweep.store.layout import RunLayout

logger = logging.getLogger(__name__)

BEAT_SECONDS = 15.0
DEAD_SECONDS = 90.0
"""How often an owner gives a sign of life, and without how many it counts as dead. Needed where the lock of
the file system does not reach another machine; on one machine the lock ends with its process."""


@contextmanager
def locked(layout: RunLayout) -> Iterator[None]:
    """Be the one who writes to a run, for the time of the block.

    Where another machine takes it over meanwhile, which counts this one as dead, this process gets SIGTERM
    twice: it leaves at once.

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
        with ExitStack() as stack:
            stack.enter_context(_held(SignsInFolder(layout), str(layout.root), has_lock=True))
            if layout.remote is not None:
                stack.enter_context(_held(SignsInRemote(layout.remote), layout.remote.uri, has_lock=False))
            yield
    finally:
        lock.release()


@contextmanager
def _held(signs: SignsOfLife, place: str, *, has_lock: bool) -> Iterator[None]:
    _take_over(signs, place, has_lock=has_lock)
    signs.begin()

    def beat(ends: threading.Event) -> None:
        while not ends.wait(BEAT_SECONDS):
            try:
                if not signs.beat():
                    _leave(place, ends)
            except (OSError, RunError) as error:
                logger.warning("no sign of life can be left in %s: %s", place, error)

    try:
        with in_background(beat, "signs of life"):
            yield
    finally:
        try:
            signs.end()
        except RunError as error:
            logger.warning("%s is left without a word: %s", place, error)


def _take_over(signs: SignsOfLife, place: str, *, has_lock: bool) -> None:
    try:
        before = signs.owner()
        silent_seconds = signs.silent_seconds() if before else 0.0
    except RunError as error:
        raise PreflightError(str(error)) from None
    if before is None:
        return
    if has_lock and before.host == platform.node():
        may_live = False
    elif before.is_of_this_system:
        may_live = before.pid != os.getpid() and psutil.pid_exists(before.pid)
    else:
        may_live = True
    if may_live and silent_seconds < DEAD_SECONDS:
        raise PreflightError(
            f"{place} is in use by {before}, last sign of life {silent_seconds:.0f} s ago; "
            f"it can be taken over after {DEAD_SECONDS:.0f} s without one"
        )
    logger.warning("%s was left by %s; it is taken over", place, before)


def _leave(place: str, ends: threading.Event) -> None:
    logger.error("another process has taken over %s; this one leaves it", place)
    os.kill(os.getpid(), signal.SIGTERM)
    if not ends.wait(1.0):
        os.kill(os.getpid(), signal.SIGTERM)
