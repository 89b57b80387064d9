"""A run whose storage lies behind a URI: brought here before it is used, and sent while it is written to."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from rlsweep.errors import PreflightError, RunError
from rlsweep.store.layout import RunLayout
from rlsweep.store.working_copy import WorkingCopy

logger = logging.getLogger(__name__)

SEND_SECONDS = 5.0
"""Between two looks at what has changed. A checkpoint that gets there before its row does not count."""

LAST_TRIES = 6
WAIT_SECONDS = 10.0
"""When a sweep ends and its storage does not answer: how often it is tried again, and after how long."""


@contextmanager
def mirrored(layout: RunLayout) -> Iterator[None]:
    """Write to a run, whose lock is held: it is brought here first, sent while it runs and at the end.

    Nothing to do where the storage is a folder.

    Raises:
        PreflightError: the storage cannot be reached.
        RunError: it could not be in the end; all is here, and is sent when the run is written to again.
    """
    if layout.remote is None:
        yield
        return
    with FileLock(_lock_of(layout)):  # a reader has it for the time of a look
        copy = WorkingCopy(layout, layout.remote)
        try:
            copy.pull()
            copy.claim()
        except RunError as error:
            raise PreflightError(str(error)) from None
        try:
            with _sending(copy):
                yield
        except Exception:  # not where it leaves at once: all is here
            if failure := _send_last(copy, layout):
                logger.error(failure)
            raise
        if failure := _send_last(copy, layout):
            raise RunError(failure)


def bring(layout: RunLayout) -> None:
    """Bring a run here to read it, unless a process here writes to it, and what is here is the newest.

    Raises:
        RunError: the storage cannot be reached.
    """
    _if_nobody_writes(layout, WorkingCopy.pull)


def send(layout: RunLayout) -> None:
    """Send what was made from a run here, as its report; whoever writes to it here does so anyway.

    Raises:
        RunError: the storage cannot be reached.
    """
    _if_nobody_writes(layout, WorkingCopy.push)


def _if_nobody_writes(layout: RunLayout, act: Callable[[WorkingCopy], None]) -> None:
    if layout.remote is None:
        return
    layout.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with FileLock(_lock_of(layout), timeout=0):
            act(WorkingCopy(layout, layout.remote))
    except Timeout:
        pass


def _lock_of(layout: RunLayout) -> Path:
    return layout.root / ".working-copy.lock"


@contextmanager
def _sending(copy: WorkingCopy) -> Iterator[None]:
    ends = threading.Event()
    thread = threading.Thread(target=_send_until, args=(ends, copy), name="sends the run", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def _send_until(ends: threading.Event, copy: WorkingCopy) -> None:
    has_warned = False
    while not ends.wait(SEND_SECONDS):
        try:
            copy.push()
            has_warned = False
        except RunError as error:
            if not has_warned:
                logger.warning("the storage does not take what is sent, it is tried again: %s", error)
            has_warned = True


def _send_last(copy: WorkingCopy, layout: RunLayout) -> str:
    """Send the rest; why it could not be sent, as words, or nothing."""
    for left in reversed(range(LAST_TRIES)):
        try:
            copy.push()
        except RunError as error:
            if not left:
                return f"the storage does not have all of {layout.root}: {error}; start it again to send it"
            time.sleep(WAIT_SECONDS)
        else:
            break
    return ""
