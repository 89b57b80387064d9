"""A run as pandas tables, for notebooks: `analysis.load("breakout_lr").configs`."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.cuts import cut_off, parse_cut
from analysis.findings import Findings, judge
from analysis.history import RunHistory, read_run
from rlsweep.errors import RunError
from rlsweep.store.layout import DEFAULT_STORAGE, RunLayout, Storage
from rlsweep.store.mirror import bring

STORAGE_VARIABLE = "RLSWEEP_STORAGE"


class SweepFrames:
    """What came out of a sweep, each table made when it is first asked for.

    Args:
        layout: of a run of ours, or of any experiment of Ray Tune.
        at: compare trials as they stood there (`10M`, `1h`); None for their ends.
    """

    def __init__(self, layout: RunLayout, at: str | None = None) -> None:
        self._layout, self._at = layout, at

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Every row of every trial, with the columns `trial`, `configuration`, `seed` in front."""
        tables = []
        for trial in self._history.trials:
            if len(trial.rows):
                record = trial.record
                names: dict[str, Any] = {
                    "trial": record.id,
                    "configuration": record.config_id,
                    "seed": record.seed,
                }
                tables.append(trial.rows.assign(**names))
        found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
        first = [name for name in ("trial", "configuration", "seed") if name in found]
        return found[[*first, *(name for name in found.columns if name not in first)]]

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One line per trial, by its id: swept values, seed, status, and its last row."""
        scheduler = self._history.manifest.scheduler
        lines = []
        for trial in self._history.trials:
            record = trial.record
            words = trial.words(scheduler, self._layout.trial(record.id))
            known = {"configuration": record.config_id, "seed": record.seed, "status": words}
            lines.append({"trial": record.id, **known, **record.values, **trial.last})
        return pd.DataFrame(lines, columns=None if lines else ["trial"]).set_index("trial")

    @cached_property
    def configs(self) -> pd.DataFrame:
        """One line per configuration, by its name, the best first: see `analysis.summary.summary`."""
        summary = self._findings.summary
        return summary.set_index("configuration") if len(summary) else summary

    @property
    def verdicts(self) -> list[str]:
        """What may be said about the order, in sentences."""
        return self._findings.verdicts

    @cached_property
    def _history(self) -> RunHistory:
        run = read_run(self._layout)
        return cut_off(run, parse_cut(self._at)) if self._at else run

    @cached_property
    def _findings(self) -> Findings:
        return judge(self._history)


def load(run: str | Path, *, storage: str | Path | None = None, at: str | None = None) -> SweepFrames:
    """A run as pandas tables.

    Args:
        run: its name, or the folder of any experiment of Ray Tune.
        storage: folder of all runs, or its URI; RLSWEEP_STORAGE or `runs` by default.
        at: compare trials as they stood there: `10M`, `40M frames`, `1h`.

    Raises:
        RunError: there is no such run, or the storage cannot be reached.
        UsageError: `at` is no point in a trial, or the URI none that any library here knows.
    """
    place = Storage.at(storage or os.environ.get(STORAGE_VARIABLE) or DEFAULT_STORAGE)
    layout = place.run(str(run)) if str(run) in place.run_names() else RunLayout(Path(run))
    bring(layout)
    if not layout.root.is_dir():
        raise RunError(f"no run {run} in {place}, and no such folder")
    if at:
        parse_cut(at)
    return SweepFrames(layout, at)
