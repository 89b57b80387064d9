"""Runs read back from disk: the manifest and every trial's rows, as pandas tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.foreign import is_experiment, read_experiment
from analysis.reading import Skipped, last_branch, read_csv, read_json_lines, table
from rlsweep.errors import RunError
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import CONFIRM, Manifest, Objective, TrialRecord
from rlsweep.store.rows import ENV_STEPS, PHASE_NAME


@dataclass(frozen=True)
class TrialHistory:
    """One trial's rows.

    Attributes:
        record: the trial in the manifest.
        rows: one row per iteration in the order of env steps; empty before the first result.
        skipped: what of its lines was left out.
    """

    record: TrialRecord
    rows: pd.DataFrame
    skipped: Skipped


@dataclass(frozen=True)
class RunHistory:
    """A whole run.

    Attributes:
        manifest: of the sweep.
        trials: in the order of the manifest.
    """

    manifest: Manifest
    trials: tuple[TrialHistory, ...]

    @property
    def objective(self) -> Objective:
        """The first objective: it orders tables and names the winner."""
        return self.manifest.objectives[0]

    def judged_trials(self, phase: str = "") -> list[TrialHistory]:
        """The trials that configurations are judged by: those of a phase, `search` or `confirm`.

        Of both by default, but of a configuration that was confirmed only the confirming ones: the others
        chose it, and flatter it.
        """
        confirmed = {trial.record.config_id for trial in self.trials if trial.record.phase == CONFIRM}

        def is_judged(record: TrialRecord) -> bool:
            if phase:
                return record.phase == phase
            return record.phase == CONFIRM or record.config_id not in confirmed

        return [trial for trial in self.trials if is_judged(trial.record)]


def read_run(layout: RunLayout) -> RunHistory:
    """Read a run folder: one of ours, or any folder of a Ray Tune experiment.

    Raises:
        RunError: it holds no run, or a manifest that does not hold together.
    """
    if not layout.manifest.is_file() and is_experiment(layout.root):
        return _read_experiment(layout.root)
    manifest = Manifest.read(layout)
    return RunHistory(manifest, tuple(_read_trial(layout, record) for record in manifest.trials))


def read_rows(path: Path) -> tuple[pd.DataFrame, Skipped]:
    """The rows of one result.json of ours in the order of env steps, and what of its lines was left out.

    A half-written last line (the machine died) is skipped, not fatal. Rows that a retry made again from a
    checkpoint replace those that stood after it. A missing file is an empty table.
    """
    rows, skipped = read_json_lines(path)
    own = [row for row in rows if is_row(row)]
    kept = last_branch(own)
    return table(kept), skipped + Skipped(foreign=len(rows) - len(own), superseded=len(own) - len(kept))


def is_row(row: dict[str, Any]) -> bool:
    """Whether a line of a result.json is a row as we write them."""
    return isinstance(row.get(ENV_STEPS), int) and all(_is_value(key, value) for key, value in row.items())


def _read_trial(layout: RunLayout, record: TrialRecord) -> TrialHistory:
    try:
        path = layout.result_json(record.id)
        if path.is_file():
            rows, skipped = read_rows(path)
        else:
            found, skipped = read_csv(layout.trial(record.id) / RunLayout.PROGRESS_CSV)
            rows = table(last_branch(row for row in found if is_row(row)))
    except OSError as error:
        raise RunError(f"{record.id}: {error}") from None
    return TrialHistory(record, rows, skipped)


def _read_experiment(folder: Path) -> RunHistory:
    experiment = read_experiment(folder)
    return RunHistory(
        experiment.manifest,
        tuple(
            TrialHistory(record, rows, skipped)
            for record, (rows, skipped) in zip(experiment.manifest.trials, experiment.tables, strict=True)
        ),
    )


def _is_value(key: str, value: Any) -> bool:
    return isinstance(value, str if key == PHASE_NAME else (int, float))
