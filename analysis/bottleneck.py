"""Where the time of a trial goes, from the rows of the callback LearnerDiagnostics."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rlsweep.store.rows import CUSTOM_PREFIX, DIAGNOSTICS_PREFIX

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
        learner: share of its time that the learner spends in updates; the rest it waits for batches.
        env_runners: share of its time that an env runner samples; the rest it waits to be asked.
        node_cpus: share of all cores of the trial's node that are busy; NaN without the callback SystemUse.
        produced, consumed: env steps per second that are sampled and trained on.
        seconds: part of an update -> seconds.
    """

    learner: float
    env_runners: float
    node_cpus: float
    produced: float
    consumed: float
    seconds: dict[str, float]

    @property
    def longest_part(self) -> str:
        """The part of a minibatch that takes longest."""
        parts = {part: self.seconds[part] for part in ("forward", "backward", "optimizer")}
        return max(parts, key=lambda part: parts[part])


def has_diagnostics(keys: Iterable[str]) -> bool:
    """Whether the callback LearnerDiagnostics has left anything among the keys of a trial's rows."""
    return any(key.startswith(DIAGNOSTICS_PREFIX) for key in keys)


def shares(rows: pd.DataFrame) -> Shares:
    """Who was busy, and with what.

    Args:
        rows: of one trial, with diagnostics.
    """
    last = rows.iloc[int(len(rows) * (1 - WARM_SHARE)) :]

    def middle(key: str, prefix: str = DIAGNOSTICS_PREFIX) -> float:
        column = prefix + key
        values = last[column].to_numpy(float) if column in last else np.empty(0)
        finite = values[np.isfinite(values)]
        return float(np.median(finite)) if len(finite) else math.nan

    parts = ("forward", "backward", "optimizer", "update", "batching", "weight_sync")
    seconds = {part: middle(f"{part}_seconds") for part in parts}
    return Shares(
        learner=_share(seconds["update"], middle("learner_wait_seconds")),
        env_runners=_share(middle("sample_seconds"), middle("sample_wait_seconds")),
        node_cpus=middle("system/node_cpu_share", CUSTOM_PREFIX),
        produced=middle("env_steps_produced_per_second"),
        consumed=middle("env_steps_consumed_per_second"),
        seconds=seconds,
    )


def verdict(found: Shares) -> str:
    """One sentence on the bottleneck, with the figures that it follows from, and what would help."""
    if not (math.isfinite(found.learner) and math.isfinite(found.env_runners)):
        return "Too few rows to say where the bottleneck lies."
    learner, runners = f"{100 * found.learner:.0f} %", f"{100 * found.env_runners:.0f} %"
    busy = f"the learner is busy {learner} of its time, an env runner {runners}"
    if math.isfinite(found.node_cpus):
        busy += f", the node's CPUs {100 * found.node_cpus:.0f} %"
    if found.learner >= BUSY > found.env_runners:
        part = f"The longest part of it is {found.longest_part}"
        return f"The learner is the bottleneck: {busy}. {part}; a faster device would help."
    if found.node_cpus >= BUSY:
        return f"The CPUs are the bottleneck: {busy}. Only more of them would help."
    if found.env_runners >= BUSY > found.learner:
        return f"The env runners are the bottleneck: {busy}. More of them would help."
    if found.learner >= BUSY:
        return f"Nobody waits: {busy}. More cores would help."
    if found.learner < IDLE and found.env_runners < IDLE:
        return (
            f"The way between them is the bottleneck: {busy}. Larger samples (rollout_fragment_length) and "
            "batches make fewer of them."
        )
    longer = "the learner waits" if found.learner < found.env_runners else "the env runners wait"
    return f"No clear bottleneck: {busy}; {longer} longer."


def _share(busy: float, waiting: float) -> float:
    waiting = 0.0 if math.isnan(waiting) else waiting
    return busy / (busy + waiting) if busy + waiting > 0 else math.nan
