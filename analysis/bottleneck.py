"""Where the time of a trial goes, from the rows of the callback LearnerDiagnostics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rlsweep.store.rows import DIAGNOSTICS_PREFIX

BUSY = 0.8
"""A share of time from which on somebody has no time left."""

IDLE = 0.5
"""A share of time below which somebody waits for most of it."""

WARM_SHARE = 0.5
"""The last half of a trial's rows is looked at: the first ones hold its start."""


@dataclass(frozen=True)
class Shares:
    """Medians over the last half of a trial's rows.

    Attributes:
        learner: share of its time that the learner spends in updates; the rest it waits for batches. 1 where
            it has no thread of its own, and so never waits.
        env_runners: share of its time that an env runner samples; the rest it waits to be asked.
        produced, consumed: env steps per second that are sampled and trained on.
        seconds: part of an update -> seconds.
    """

    learner: float
    env_runners: float
    produced: float
    consumed: float
    seconds: dict[str, float]

    @property
    def largest_part(self) -> str:
        """The part of an update that takes longest."""
        known = {part: seconds for part, seconds in self.seconds.items() if math.isfinite(seconds)}
        return max(known, key=lambda part: known[part]) if known else ""


def has_diagnostics(rows: pd.DataFrame) -> bool:
    """Whether the callback LearnerDiagnostics has left anything in a trial's rows."""
    return any(str(column).startswith(DIAGNOSTICS_PREFIX) for column in rows.columns)


def shares(rows: pd.DataFrame) -> Shares:
    """Who was busy, and with what.

    Args:
        rows: of one trial, with diagnostics.
    """
    last = rows.iloc[int(len(rows) * (1 - WARM_SHARE)) :]

    def middle(key: str) -> float:
        column = DIAGNOSTICS_PREFIX + key
        values = last[column].to_numpy(float) if column in last else np.empty(0)
        finite = values[np.isfinite(values)]
        return float(np.median(finite)) if len(finite) else math.nan

    update = {part: middle(f"{part}_seconds") for part in ("forward", "backward", "optimizer")}
    around = {"batching": middle("batching_seconds"), "weight sync": middle("weight_sync_seconds")}
    return Shares(
        learner=_share(sum(update.values()), middle("queue_wait_seconds")),
        env_runners=_share(middle("sample_seconds"), middle("sample_wait_seconds")),
        produced=middle("env_steps_produced_per_second"),
        consumed=middle("env_steps_consumed_per_second"),
        seconds=update | around,
    )


def verdict(found: Shares) -> str:
    """One sentence on the bottleneck, with the figures that it follows from, and what would help."""
    learner, runners = f"{100 * found.learner:.0f} %", f"{100 * found.env_runners:.0f} %"
    busy = f"the learner is busy {learner} of its time, an env runner {runners}"
    if not (math.isfinite(found.learner) and math.isfinite(found.env_runners)):
        return "Too few rows to say where the bottleneck lies."
    if found.learner >= BUSY and found.env_runners < BUSY:
        part = found.largest_part
        return (
            f"The learner is the bottleneck: {busy}. Its longest part is {part}; a faster device would help."
        )
    if found.env_runners >= BUSY and found.learner < BUSY:
        return f"The env runners are the bottleneck: {busy}. More of them, on CPUs of their own, would help."
    if found.learner >= BUSY:
        return f"Nobody waits: {busy}. Only more cores would help."
    if found.learner < IDLE and found.env_runners < IDLE:
        return (
            f"The way between them is the bottleneck: {busy}. Larger samples (rollout_fragment_length) and "
            "batches make fewer of them."
        )
    longer = "the learner" if found.learner < found.env_runners else "the env runners"
    return f"No clear bottleneck: {busy}; {longer} wait longer."


def _share(busy: float, waiting: float) -> float:
    waiting = 0.0 if math.isnan(waiting) else waiting
    return busy / (busy + waiting) if busy + waiting > 0 else math.nan
