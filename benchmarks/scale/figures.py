"""What the samples of a driver say: what a row and a trial cost, early and late, and where a core is full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.programs import Outcome
from benchmarks.scale.samples import Sample


@dataclass(frozen=True)
class Driven:
    """A sweep that was driven.

    Attributes:
        trials, rows: in all.
        raylets: nodes that Ray had.
        concurrent: trials that ran at once.
        cpu_seconds, wall_seconds: of the driver, from the plan to the last row in MLflow.
        memory_mib: the most that the driver had, resident.
        bytes_on_disk: of the run, its MLflow store aside; `manifest_bytes` of its `sweep.json`.
        ray_cpu_seconds: of GCS, raylets and what belongs to them.
        samples: of the driver on the way.
    """

    trials: int
    rows: int
    raylets: int
    concurrent: int
    cpu_seconds: float
    wall_seconds: float
    memory_mib: float
    bytes_on_disk: int
    manifest_bytes: int
    ray_cpu_seconds: float
    samples: tuple[Sample, ...]

    @classmethod
    def of(cls, outcome: Outcome) -> Driven:
        """What `benchmarks.scale.drive` has printed."""
        names = [name for name in cls.__dataclass_fields__ if name not in ("cpu_seconds", "samples")]
        samples = tuple(Sample(**one) for one in outcome.details["samples"])
        known = {name: outcome.details[name] for name in names}
        return cls(**known, cpu_seconds=outcome.value, samples=samples)

    @property
    def ms_per_row(self) -> float:
        """CPU milliseconds of the driver for a row, with its share of all else that a trial costs."""
        return 1000 * self.cpu_seconds / self.rows


def ms_per_trial(samples: Sequence[Sample], begin: float, end: float) -> float:
    """CPU milliseconds of one trial, between two moments of a sweep.

    Args:
        samples: in their order.
        begin, end: shares of the trials that had ended then, from 0 to 1; the nearest samples count.

    Raises:
        ValueError: no trial has ended between them.
    """
    first, last = (_nearest(samples, share) for share in (begin, end))
    if last.trials <= first.trials:
        raise ValueError(f"no trial ended between {begin:g} and {end:g} of the sweep")
    return 1000 * (last.cpu_seconds - first.cpu_seconds) / (last.trials - first.trials)


def _nearest(samples: Sequence[Sample], share: float) -> Sample:
    wanted = share * samples[-1].trials
    return min(samples, key=lambda sample: abs(sample.trials - wanted))


def full_at(ms_per_row: float, rows_per_minute: float) -> float:
    """How many trials at once keep a core of the driver busy all the time.

    Args:
        ms_per_row: CPU milliseconds.
        rows_per_minute: of each trial.
    """
    return 60_000 / (ms_per_row * rows_per_minute)
