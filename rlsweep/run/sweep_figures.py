"""A sweep that runs in figures: what `rlsweep status` says of its files, from the rows as they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.reading import last_row_of
from analysis.status import RunStatus, trial_status
from callbacks.driver.gauges import SweepFigures
from rlsweep.run.stopping import Halt
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import Manifest


class FiguresOfSweep:
    """Says how a sweep stands; of its files, only rows that were there before are read, each once.

    Args:
        manifest: of the run; changes while it runs.
        layout: of the run.
        halt: counts the GPU-hours.
    """

    def __init__(self, manifest: Manifest, layout: RunLayout, halt: Halt) -> None:
        self._manifest, self._layout, self._halt = manifest, layout, halt
        self._earlier: dict[str, Mapping[str, Any]] = {}

    def __call__(self, results: Mapping[str, Mapping[str, Any]]) -> SweepFigures:
        """The figures now.

        Args:
            results: trial id -> its last result, of those that have sent one since.
        """
        records = self._manifest.trials
        rows = [results.get(record.id) or self._earlier_row(record.id) for record in records]
        trials = tuple(
            trial_status(record, row, record.status) for record, row in zip(records, rows, strict=True)
        )
        goal_env_steps = self._manifest.objectives[0].most_env_steps
        status = RunStatus(self._manifest.name, goal_env_steps, trials)
        return SweepFigures(
            trials=status.counts,
            best_score=status.best_score,
            env_steps=status.env_steps,
            env_steps_per_second=status.steps_per_second,
            gpu_hours=self._halt.gpu_hours,
            remaining_seconds=0.0 if status.has_ended else status.seconds_left,
        )

    def _earlier_row(self, trial_id: str) -> Mapping[str, Any]:
        if trial_id not in self._earlier:
            self._earlier[trial_id] = last_row_of(self._layout.result_json(trial_id))
        return self._earlier[trial_id]
