"""How `rlsweep status` writes what it found."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rlsweep.spec.quantities import duration

if TYPE_CHECKING:
    from analysis.status import RunStatus, TrialStatus


def status_line(run: RunStatus) -> list[str]:
    """Cells of a run: name, trials by state, best so far, speed, time left."""
    best = f"{run.best.score:.2f} ({run.best.id})" if run.best else "–"
    speed = f"{run.steps_per_second:,.0f}" if run.steps_per_second else "–"
    left = duration(run.seconds_left) if math.isfinite(run.seconds_left) else "–"
    return [run.name, ", ".join(f"{count} {name}" for name, count in run.counts.items()), best, speed, left]


def trial_line(trial: TrialStatus) -> list[str]:
    """Cells of a trial: id, score, games, env steps, state."""
    score = f"{trial.score:.2f}" if math.isfinite(trial.score) else "–"
    silent = f", silent for {duration(trial.silent_seconds)}" if trial.is_silent else ""
    return [trial.id, score, f"{trial.games:,}", f"{trial.env_steps:,}", trial.words + silent]


def status_data(run: RunStatus) -> dict[str, Any]:
    """The same for programs."""
    return {
        "run": run.name,
        "counts": run.counts,
        "best": run.best.id if run.best else None,
        "steps_per_second": run.steps_per_second,
        "seconds_left": run.seconds_left,
        "trials": [asdict(trial) for trial in run.trials],
    }
