"""A run whose storage lies behind a URI: brought here before it is used, and sent while it is written to."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from filelock import FileLock, Timeout

from rlsweep.errors import PreflightError, RunError
from rlsweep.store.background import in_background
from rlsweep.store.layout import RunLayout
from rlsweep.store.working_copy import WorkingCopy

logger = logging.getLogger(__name__)

SEND_SECONDS = 5.0
SHARE_OF_TIME = 0.05
"""Between two looks at what has changed, and which share of the time looking and sending may take."""

LAST_TRIES = 6
WAIT_SECONDS = 10.0
"""When a sweep ends and its storage does not answer: how often it is tried again, and after how long."""

READER_SECONDS = 60.0
"""How long a reader waits for another one that brings the same run here."""


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
    with FileLock(layout.working_copy_lock):  # a reader has it for the time of a look
        copy = WorkingCopy(layout, layout.remote, writes=True)
        try:
            copy.pull()
        except RunError as error:
            raise PreflightError(str(error)) from None
        try:
            with in_background(partial(_send_until, copy), "sends the run"):
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
    """Send what was made from a run here, as its report, if that can be done; one that is written to here is
    sent anyway."""
    try:
        _if_nobody_writes(layout, WorkingCopy.push)
    except RunError as error:
        logger.warning("what was made of %s is here alone: %s", layout.root.name, error)


def _if_nobody_writes(layout: RunLayout, act: Callable[[WorkingCopy], None]) -> None:
    if layout.remote is None:
        return
    layout.root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(layout.working_copy_lock, timeout=0 if layout.owner.exists() else READER_SECONDS):
            act(WorkingCopy(layout, layout.remote))
    except Timeout:
        pass


def _send_until(copy: WorkingCopy, ends: threading.Event) -> None:
    has_warned, pause = False, SEND_SECONDS
    while not ends.wait(pause):
        started = time.monotonic()
        try:
            copy.push()
            has_warned = False
        except (RunError, OSError) as error:  # the storage, or a disk here that is full
            if not has_warned:
                logger.warning("the run cannot be sent to its storage now, it is tried again: %s", error)
            has_warned = True
        pause = max(SEND_SECONDS, (time.monotonic() - started) / SHARE_OF_TIME)


def _send_last(copy: WorkingCopy, layout: RunLayout) -> str:
    """Send the rest; why it could not be sent, as words, or nothing."""
    for left in reversed(range(LAST_TRIES)):
        try:
            copy.push(all_of_it=True)
        except (RunError, OSError) as error:
            if not left:
                return f"the storage does not have all of {layout.root}: {error}; start it again to send it"
            time.sleep(WAIT_SECONDS)
        else:
            break
    return ""
