"""`--at 10M`, `--at 1h`: a run as it stood after so many env steps, frames or seconds of each trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from analysis.history import RunHistory
from rlsweep.errors import UsageError
from rlsweep.spec.quantities import duration, parse_count, parse_seconds
from rlsweep.store.manifest import FINISHED
from rlsweep.store.rows import ENV_STEPS, FRAMES, SECONDS

_UNITS = {" frames": FRAMES, " env_steps": ENV_STEPS, " env steps": ENV_STEPS}
_TIMES = ("s", "min", "h", "d")


@dataclass(frozen=True)
class Cut:
    """Where trials are compared.

    Attributes:
        key: row key.
        most: rows with more of it do not count.
    """

    key: str
    most: float

    def __str__(self) -> str:
        if self.key == SECONDS:
            return f"after {duration(self.most)} of training"
        return f"after {self.most:,.0f} {self.key.replace('_', ' ')}"


def parse_cut(text: str) -> Cut:
    """`10M`, `10M env_steps`, `40M frames`, `1h`, `90min`.

    Raises:
        UsageError: it is none of these.
    """
    written = text.strip()
    unit = next((unit for unit in _UNITS if written.endswith(unit)), "")
    if not unit and written.endswith(_TIMES):
        return Cut(SECONDS, _number(parse_seconds, written, text))
    return Cut(_UNITS.get(unit, ENV_STEPS), _number(parse_count, written.removesuffix(unit), text))


def cut_off(run: RunHistory, cut: Cut) -> RunHistory:
    """The run with the rows up to the cut; a trial without that key keeps none.

    A trial that ran to its own stop before the cut stands there as it ended.
    """
    trials = []
    for trial in run.trials:
        rows = trial.rows
        kept = rows[rows[cut.key] <= cut.most] if cut.key in rows else rows[:0]
        reached = len(kept) > 0 and (
            trial.record.status == FINISHED or bool((rows[cut.key] >= cut.most).any())
        )
        trials.append(replace(trial, rows=kept, whole=rows, reached=reached))
    return replace(run, trials=tuple(trials))


def _number(parse: Callable[[str], Any], written: str, text: str) -> float:
    try:
        return float(parse(written))
    except ValueError:
        raise UsageError(f"--at {text}: no point in a trial; allowed: 10M, 40M frames, 90min, 1h") from None
