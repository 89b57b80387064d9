"""`failures.json` of a trial: every time that it failed, why, and what was done about it; a JSON row each."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from rlsweep.store.append import read_lines
from rlsweep.store.layout import RunLayout

FailureClass = Literal[
    "preemption",
    "out_of_memory",
    "cuda_out_of_memory",
    "storage",
    "stall",
    "environment",
    "divergence",
    "error",
]
FAILURE_CLASSES: tuple[FailureClass, ...] = get_args(FailureClass)
"""Process or node lost; memory of the node; memory of the GPU; disk or file system; no row for too long; the
environment raised; numbers that are none any more; everything else, which is mostly a mistake in code."""


@dataclass(frozen=True)
class Failure:
    """One failure of a trial.

    Attributes:
        kind: its class.
        reason: the exception with its message.
        timestamp: Unix time in seconds.
        env_steps: of the trial's last row before.
        retry: the number of the retry that follows, counted within its class since the last checkpoint; 0
            where none does.
        tried: retries in that class before this failure, since the last checkpoint.
        max_retries: of that class.
        seconds_to_wait: before the retry begins.
        share: of the machine that the retry takes, as a multiple of what the trial was planned with.
    """

    kind: FailureClass
    reason: str
    timestamp: float
    env_steps: int
    retry: int = 0
    tried: int = 0
    max_retries: int = 0
    seconds_to_wait: float = 0.0
    share: float = 1.0

    def __str__(self) -> str:
        if not self.retry:
            limit = f", tried again {self.tried} times" if self.tried else ""
            return f"failed ({self.kind}{limit}): {self.reason}"
        share = f" with {self.share:g} times its share" if self.share != 1 else ""
        return (
            f"{self.kind} at {self.env_steps:,} env steps: {self.reason}; goes on from its last checkpoint"
            f"{share} in {self.seconds_to_wait:.0f} s (retry {self.retry} of {self.max_retries})"
        )

    def line(self) -> str:
        """It as a line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def read_failures(folder: Path) -> list[Failure]:
    """The failures of a trial, oldest first; a line that is cut off is left out."""
    return read_lines(folder / RunLayout.FAILURES_JSON, lambda fields: Failure(**fields))


def counts(failures: list[Failure]) -> str:
    """`preemption 2, storage 1`."""
    return ", ".join(f"{kind} {count}" for kind, count in Counter(one.kind for one in failures).items())
