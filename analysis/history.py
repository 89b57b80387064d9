"""Runs read back from disk: the manifest and every trial's rows, as pandas tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.foreign import is_experiment, read_experiment
from analysis.own_rows import Rows, read_keys, read_rows
from analysis.reading import Skipped, last_branch, read_csv
from rlsweep.errors import RunError
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import CONFIRM, Manifest, Objective, TrialRecord
from rlsweep.store.rows import (
    AUC,
    ENV_STEPS,
    EVALUATION_GAMES,
    FRAMES,
    GAMES,
    ITERATION,
    PHASE,
    SCORE,
    SCORE_VALID,
    SECONDS,
    TIMESTAMP,
)

SUMMARY_KEYS = (
    *(ITERATION, ENV_STEPS, FRAMES, SECONDS, TIMESTAMP),
    *(SCORE, SCORE_VALID, GAMES, EVALUATION_GAMES, AUC, PHASE),
)
"""What a report says of a trial beside its objectives."""


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
    """Read every key of every row of a run folder: one of ours, or any folder of a Ray Tune experiment.

    Raises:
        RunError: it holds no run, or a manifest that does not hold together.
    """
    return _read(layout, lambda paths, _: [read_rows(path) for path in paths])


def read_summary(layout: RunLayout) -> RunHistory:
    """The same with those keys alone by which configurations are judged: fast, and faster the second time.

    Raises:
        RunError: as `read_run`.
    """

    def read(paths: list[Path], manifest: Manifest) -> list[Rows]:
        objectives = [key for one in manifest.objectives for key in (one.key, one.on_the_way.key)]
        memories = [layout.remembered_rows(record.id) for record in manifest.trials]
        return read_keys(paths, memories, [*SUMMARY_KEYS, *objectives])

    return _read(layout, read)


def _read(layout: RunLayout, read: Callable[[list[Path], Manifest], list[Rows]]) -> RunHistory:
    if not layout.manifest.is_file() and is_experiment(layout.root):
        return _read_experiment(layout.root)
    manifest = Manifest.read(layout)
    try:
        found = read([layout.result_json(record.id) for record in manifest.trials], manifest)
    except OSError as error:
        raise RunError(f"{layout.root}: {error}") from None
    trials = []
    for record, (rows, skipped) in zip(manifest.trials, found, strict=True):
        if not len(rows):
            rows, skipped = _from_csv(layout.trial(record.id) / RunLayout.PROGRESS_CSV, skipped)
        trials.append(TrialHistory(record, rows, skipped))
    return RunHistory(manifest, tuple(trials))


def _from_csv(path: Path, before: Skipped) -> Rows:
    """The rows of a trial whose result.json has none."""
    rows, skipped = read_csv(path)
    own = pd.DataFrame([row for row in rows if isinstance(row.get(ENV_STEPS), int)])
    return last_branch(own) if len(own) else own, before + skipped


def _read_experiment(folder: Path) -> RunHistory:
    experiment = read_experiment(folder)
    return RunHistory(
        experiment.manifest,
        tuple(
            TrialHistory(record, rows, skipped)
            for record, (rows, skipped) in zip(experiment.manifest.trials, experiment.tables, strict=True)
        ),
    )
