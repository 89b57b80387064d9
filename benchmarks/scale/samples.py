"""What the driver has used so far, noted while a sweep runs."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from ray.tune import Callback

from benchmarks.measure.stopwatch import cpu_seconds

TRIALS_BETWEEN = 50


@dataclass(frozen=True)
class Sample:
    """The driver at one moment.

    Attributes:
        trials: that have ended.
        rows: that have come.
        cpu_seconds: of the driver, all of its threads.
        wall_seconds: since the sweep began.
        resident_mib: memory of the driver.
    """

    trials: int
    rows: int
    cpu_seconds: float
    wall_seconds: float
    resident_mib: float


taken: list[Sample] = []
"""Of the one sweep of this process: Tune pickles its callbacks, and who started the sweep has another one."""


class Samples(Callback):
    """Notes what the driver has used, every TRIALS_BETWEEN trials, and at the beginning and the end.

    Args:
        file: to which each sample is appended too, for a sweep that is ended before its end; none by default.
    """

    def __init__(self, file: str = "") -> None:
        self._file = file

    def setup(
        self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **info: Any
    ) -> None:
        self._started = time.perf_counter()
        self._trials = self._rows = 0
        self._note()

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._rows += 1

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._trials += 1
        if self._trials % TRIALS_BETWEEN == 0:
            self._note()

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        self._note()

    def _note(self) -> None:
        wall = time.perf_counter() - self._started
        resident = psutil.Process().memory_info().rss / 2**20
        taken.append(Sample(self._trials, self._rows, cpu_seconds(), wall, resident))
        if self._file:
            with Path(self._file).open("a") as stream:
                stream.write(json.dumps(asdict(taken[-1])) + "\n")
