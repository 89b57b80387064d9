"""Rows of a history -> points of MLflow: which keys, how many of them, from where in the file on.

The same file gives the same points however often it is read, and MLflow stores a point once that comes again
with its key, step, timestamp and value: a history can be sent anew without a duplicate.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mlflow.entities import Metric

from rlsweep.store.rows import ENV_STEPS, ITERATION, TIMESTAMP

MAX_POINTS_PER_KEY = 2000
"""Of one trial; a chart is a thousand pixels wide."""

_NEVER = {ITERATION, TIMESTAMP, ENV_STEPS}
"""The axes."""


@dataclass(frozen=True)
class Position:
    """How far a history has been read.

    Attributes:
        offset: in bytes, behind a whole line.
        env_steps: the most that have a point; -1 before the first.
        iteration: the last one that has a point.
    """

    offset: int = 0
    env_steps: int = -1
    iteration: int = 0

    @classmethod
    def parse(cls, text: str) -> Position:
        """The inverse of `str`; the beginning where there is none."""
        numbers = [int(part) for part in text.split(":") if part]
        return cls(*numbers) if len(numbers) == 3 else cls(*numbers[:1])

    def __str__(self) -> str:
        return f"{self.offset}:{self.env_steps}:{self.iteration}"


@dataclass(frozen=True)
class Chosen:
    """What of a trial's rows becomes points.

    Attributes:
        keys: patterns of row keys (`learner/*`).
        env_steps: of a whole trial: the rows of each MAX_POINTS_PER_KEY-th part of it give one point a key.
    """

    keys: Sequence[str]
    env_steps: int

    def read(self, history: Path, position: Position, max_points: int) -> tuple[list[Metric], Position]:
        """The next points of a `result.json`.

        Args:
            history: may grow meanwhile, may not be there yet.
            position: where to go on.
            max_points: to stop after, at the end of a row.

        Returns:
            Points, and where to go on after them; the same position where there is nothing new.
        """
        points: list[Metric] = []
        for row, offset in _rows(history, position.offset):
            env_steps, iteration = int(row[ENV_STEPS]), int(row.get(ITERATION, position.iteration + 1))
            shown = position
            if self._is_next(env_steps, iteration, position):
                found = self.points(row)
                if points and len(points) + len(found) > max_points:
                    break
                points += found
                shown = Position(offset, env_steps, max(iteration, position.iteration))
            position = replace(shown, offset=offset)
        return points, position

    def _is_next(self, env_steps: int, iteration: int, position: Position) -> bool:
        """Whether a row is in an interval without a point, and none that has been made again.

        After a restart an iteration may end a few env steps later than it did before.
        """
        is_again = iteration <= position.iteration
        is_again &= env_steps - position.env_steps < env_steps / max(1, iteration)  # less than an iteration
        return self._interval(env_steps) > self._interval(position.env_steps) and not is_again

    def _interval(self, env_steps: int) -> int:
        return env_steps * MAX_POINTS_PER_KEY // self.env_steps

    def points(self, row: Mapping[str, Any]) -> list[Metric]:
        """The numbers of one row: env steps on the x-axis, the row's own time."""
        step, milliseconds = int(row[ENV_STEPS]), int(row[TIMESTAMP] * 1000)
        return [
            Metric(key, float(value), milliseconds, step)
            for key, value in row.items()
            if isinstance(value, (int, float)) and math.isfinite(value) and self._is_chosen(key)
        ]

    def _is_chosen(self, key: str) -> bool:
        return key not in _NEVER and any(fnmatchcase(key, pattern) for pattern in self.keys)


def _rows(history: Path, offset: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Whole rows from an offset on, each with the offset behind it; lines that are none are passed over."""
    if not history.is_file():
        return
    with history.open("rb") as stream:
        stream.seek(offset)
        for line in stream:
            if not line.endswith(b"\n"):  # still being written
                return
            offset += len(line)
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and isinstance(row.get(ENV_STEPS), int) and TIMESTAMP in row:
                yield row, offset
