"""Env steps per second after a warm-up, CPU seconds, and the line that a measurement prints.

Standard library only: the Python of the peers runs it too.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any


class Stopwatch:
    """Takes lifetime counts of env steps at the ends of iterations, and times those after the warm-up.

    Args:
        seconds: to measure at least; it ends with the first iteration after.
        warm_up: iterations that do not count: they compile, fill caches and start threads.
    """

    def __init__(self, seconds: float, warm_up: int = 1) -> None:
        self._wanted, self._warm_up = seconds, warm_up
        self._iterations = 0
        self._started = self._ended = 0.0
        self._first = self._last = 0

    def note(self, env_steps: int) -> bool:
        """An iteration has ended.

        Args:
            env_steps: since the beginning of the training, warm-up and all.

        Returns:
            Whether it has been long enough.
        """
        now = time.perf_counter()
        self._iterations += 1
        if self._iterations <= self._warm_up:
            self._started, self._first = now, env_steps
        self._ended, self._last = now, env_steps
        return self.seconds >= self._wanted

    @property
    def env_steps(self) -> int:
        """Env steps since the warm-up."""
        return self._last - self._first

    @property
    def seconds(self) -> float:
        """Seconds since the warm-up."""
        return self._ended - self._started

    @property
    def env_steps_per_second(self) -> float:
        """Of the time after the warm-up."""
        return self.env_steps / self.seconds

    def report(self, share_of_samples_used: float = 1.0, **details: Any) -> None:
        """Print the result: env steps per second, of those that were learned from."""
        report(
            self.env_steps_per_second * share_of_samples_used,
            share_of_samples_used=share_of_samples_used,
            seconds=self.seconds,
            env_steps=self.env_steps,
            iterations=self._iterations - self._warm_up,
            **details,
        )


def report(value: float, **details: Any) -> None:
    """Print a measurement's one line.

    Args:
        value: the figure of the table, in the unit of its row.
        details: whatever else is worth keeping beside it.
    """
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"value": value, "peak_rss_mib": round(peak_mib), **details}), flush=True)


def cpu_seconds() -> float:
    """That this process has used, all of its threads, in user mode and in the kernel."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
