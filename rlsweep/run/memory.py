"""The memory of the driver's node, and what gives way when it runs out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from ray.tune import Callback

from rlsweep.run.kills import Kills, is_killable

CGROUP = Path("/sys/fs/cgroup")
THRESHOLD = "RAY_memory_usage_threshold"
DEFAULT_THRESHOLD = 0.95
"""Environment variable with the share of memory above which a trial gives way, and its default: Ray's own."""

RAY_KILLED = (
    "Ray's memory monitor has killed a trial, and Tune ends with it; the same command goes on from the "
    "checkpoints. RAY_memory_monitor_refresh_ms=0 where the cluster's nodes are started leaves it to Linux "
    "to kill one, and the sweep goes on"
)
"""What there is to say in a cluster."""

LOOK_SECONDS = 0.25
SECONDS_TO_FREE = 5.0
"""Between two looks, and after a kill."""


class _Files(NamedTuple):
    """Where a container's memory stands, below CGROUP; `cached` are keys of `stat`."""

    most: str
    taken: str
    stat: str
    cached: tuple[str, ...]


_VERSIONS = (
    _Files("memory.max", "memory.current", "memory.stat", ("inactive_file", "active_file")),
    _Files(
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        ("total_inactive_file", "total_active_file"),
    ),
)


class MemoryWatch(Callback):
    """Kills the trial that began last where memory runs out; with it least is lost.

    Ray's own monitor would do so too, but Tune does not know its error (OutOfMemoryError), and ends with it.
    In the Ray that is started here that monitor is off (`rlsweep.run.session`); a cluster of RAY_ADDRESS has
    nodes elsewhere and keeps its own, and nothing is watched.

    Args:
        kills: by which it kills.
        taken: says which share of memory is taken, from 0 to 1.
    """

    def __init__(self, kills: Kills, taken: Callable[[], float] | None = None) -> None:
        self._kills, self._taken = kills, taken or share_taken
        self._most = float(os.environ.get(THRESHOLD, DEFAULT_THRESHOLD))
        self._is_watching = not os.environ.get("RAY_ADDRESS")
        self._begun: dict[str, float] = {}
        self._next_look = 0.0

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._begun[str(trial)] = time.monotonic()

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        now = time.monotonic()
        if not self._is_watching or now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        taken = self._taken()
        running = [trial for trial in trials if is_killable(trial)] if taken > self._most else []
        if running:
            self._next_look = now + SECONDS_TO_FREE
            youngest = max(running, key=lambda trial: self._begun.get(str(trial), 0.0))
            reason = f"{taken:.1%} of the node's memory is taken, {self._most:.1%} may be ({THRESHOLD})"
            self._kills.kill(youngest, "out_of_memory", reason)


def share_taken(cgroup: Path = CGROUP) -> float:
    """Which share of the node's memory is taken, or of its container's where that is fuller, from 0 to 1.

    Files that are cached do not count: the kernel gives them up.
    """
    node = psutil.virtual_memory()
    shares = [1 - node.available / node.total]
    for files in _VERSIONS:
        try:
            most = float((cgroup / files.most).read_text())
            taken = float((cgroup / files.taken).read_text())
            stat = dict(line.split() for line in (cgroup / files.stat).read_text().splitlines())
        except (OSError, ValueError):  # the other version, no container, or one without a limit: `max`
            continue
        cached = sum(float(stat.get(key, 0)) for key in files.cached)
        shares.append((taken - cached) / most)
    return max(shares)
