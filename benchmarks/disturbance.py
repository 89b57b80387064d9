"""How many cores other programs keep busy while one of ours is measured.

Two threads of Torch that wait for each other lose most of their speed once a third program wants a core: a
figure that was measured beside other work says nothing. Linux only; elsewhere nothing is noticed.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

INTERVAL_SECONDS = 1.0


@dataclass(frozen=True)
class Process:
    """One line of what runs.

    Attributes:
        parent: its number.
        seconds: user and system time so far.
    """

    parent: int
    seconds: float


class Disturbance:
    """Watches, for the time of a block, what does not descend from this process."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._started = self._ended = 0.0

    def __enter__(self) -> Disturbance:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._ended = time.monotonic()

    @property
    def busy_cores(self) -> float:
        """Mean over the block; what starts and ends between two looks goes unnoticed."""
        return self._seconds / max(self._ended - self._started, INTERVAL_SECONDS)

    def _watch(self) -> None:
        before = others(processes(), os.getpid())
        while not self._is_over.wait(INTERVAL_SECONDS):
            now = others(processes(), os.getpid())
            self._seconds += sum(seconds - before.get(pid, 0.0) for pid, seconds in now.items())
            before = now


def others(running: dict[int, Process], root: int) -> dict[int, float]:
    """CPU seconds of the processes that are neither `root` nor descend from it, by their numbers."""
    found = {}
    for pid, process in running.items():
        ancestor = pid
        while ancestor != root and ancestor in running:
            ancestor = running[ancestor].parent
        if ancestor != root:
            found[pid] = process.seconds
    return found


def processes() -> dict[int, Process]:
    """All that run, by their numbers."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found[int(folder.name)] = parse_stat((folder / "stat").read_text("utf-8", "replace"))
        except OSError:  # it has ended
            continue
    return found


def parse_stat(stat: str) -> Process:
    """The text of /proc/PID/stat, whose second field may hold blanks."""
    _, parent, *fields = stat.rpartition(")")[2].split()
    return Process(int(parent), (int(fields[9]) + int(fields[10])) / os.sysconf("SC_CLK_TCK"))
