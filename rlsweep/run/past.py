"""What earlier runs of a sweep have brought, for a scheduler that goes on from there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.history import read_summary
from analysis.lineage import Exploit, read_exploits
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import SEARCH
from rlsweep.store.rows import TIMESTAMP


@dataclass(frozen=True)
class Past:
    """The history of a search, before it goes on.

    Attributes:
        rows: trial id and row of every result, in the order of their times.
        ended: ids of the trials that are not run again.
        exploits: of a population.
    """

    rows: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    ended: frozenset[str] = frozenset()
    exploits: tuple[Exploit, ...] = ()


def read_past(layout: RunLayout, waiting: Collection[str]) -> Past:
    """The past of a run.

    Args:
        layout: of the run.
        waiting: ids of the trials that begin or go on now.
    """
    run = read_summary(layout)
    trials = [trial for trial in run.trials if trial.record.phase == SEARCH]
    rows = [
        (float(row[TIMESTAMP]), trial.record.id, {str(key): value for key, value in row.items()})
        for trial in trials
        if TIMESTAMP in trial.rows
        for row in trial.rows.to_dict(orient="records")
    ]
    rows.sort(key=lambda one: one[0])
    return Past(
        tuple((trial_id, row) for _, trial_id, row in rows),
        frozenset(trial.record.id for trial in trials if trial.record.id not in waiting),
        tuple(read_exploits(run, layout)),
    )
