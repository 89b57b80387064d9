"""Runs read back from disk: the manifest and every trial's rows, as pandas tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.foreign import is_experiment, read_experiment
from analysis.own_rows import read_all
from analysis.reading import Skipped, last_branch, read_csv
from rlsweep.errors import RunError
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import CONFIRM, Manifest, Objective, TrialRecord
from rlsweep.store.rows import ENV_STEPS


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
    ids = [record.id for record in manifest.trials]
    try:
        found = read_all([layout.result_json(one) for one in ids], [layout.read_rows(one) for one in ids])
    except OSError as error:
        raise RunError(f"{layout.root}: {error}") from None
    tables = [
        one if len(one[0]) else _from_csv(layout.trial(trial_id) / RunLayout.PROGRESS_CSV, one)
        for trial_id, one in zip(ids, found, strict=True)
    ]
    return RunHistory(
        manifest,
        tuple(
            TrialHistory(record, rows, skipped)
            for record, (rows, skipped) in zip(manifest.trials, tables, strict=True)
        ),
    )


def _from_csv(path: Path, found: tuple[pd.DataFrame, Skipped]) -> tuple[pd.DataFrame, Skipped]:
    """The rows of a trial whose result.json has none."""
    rows, skipped = read_csv(path)
    own = pd.DataFrame([row for row in rows if isinstance(row.get(ENV_STEPS), int)])
    return last_branch(own) if len(own) else own, found[1] + skipped


def _read_experiment(folder: Path) -> RunHistory:
    experiment = read_experiment(folder)
    return RunHistory(
        experiment.manifest,
        tuple(
            TrialHistory(record, rows, skipped)
            for record, (rows, skipped) in zip(experiment.manifest.trials, experiment.tables, strict=True)
        ),
    )
