"""Runs read back from disk: the manifest and every trial's rows, as pandas tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.foreign import is_experiment, read_experiment
from analysis.own_rows import Rows, is_row, read_keys, read_rows
from analysis.reading import Skipped, last_branch, last_row, read_csv
from rlsweep.errors import RunError
from rlsweep.store.endings import in_words
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import CONFIRM, ENDED, ENV_ID, FAILED, Manifest, Objective, TrialRecord
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


REACHED = "reached"
"""How a trial stands that got as far as the point where all are compared."""


@dataclass(frozen=True)
class TrialHistory:
    """One trial's rows.

    Attributes:
        record: the trial in the manifest.
        rows: one row per iteration in the order of env steps; empty before the first result.
        skipped: what of its lines was left out.
        whole: where the rows were cut off at some point, all that there were.
        reached: whether the trial got as far as that point; None where nothing was cut off.
    """

    record: TrialRecord
    rows: pd.DataFrame
    skipped: Skipped
    whole: pd.DataFrame | None = None
    reached: bool | None = None

    @property
    def status(self) -> str:
        """As in the manifest; REACHED where how it ended came after the point where it was cut off."""
        return REACHED if self.reached else self.record.status

    @property
    def last(self) -> dict[str, Any]:
        """The last row by key; empty where there is none."""
        return last_row(self.rows)

    def words(self, scheduler: str, folder: Path) -> str:
        """How it ended, whatever was cut off (`rlsweep.store.endings.in_words`)."""
        row = last_row(self.rows if self.whole is None else self.whole)
        return in_words(self.record, scheduler, int(row.get(ENV_STEPS, 0)), folder)


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

    @cached_property
    def tasks(self) -> list[str]:
        """Swept values that differ within a configuration: ENV_ID where each plays several games."""
        games: dict[str, set[str]] = {}
        for trial in self.trials:
            games.setdefault(trial.record.config_id, set()).add(trial.record.game)
        return [ENV_ID] if any(len(found) > 1 for found in games.values()) else []

    @cached_property
    def swept(self) -> list[str]:
        """Paths of the swept values in which configurations differ, in the order of the spec."""
        paths = dict.fromkeys(path for trial in self.trials for path in trial.record.values)
        return [path for path in paths if path not in self.tasks]

    def judged_trials(self, phase: str = "") -> list[TrialHistory]:
        """The trials that configurations are judged by: those of a phase, `search` or `confirm`, but for the
        outgrown.

        Of both by default, but of a configuration that was confirmed only the confirming ones: the others
        chose it, and flatter it. It is confirmed once all of them have ended, and not all by a crash.
        """
        statuses: dict[str, set[str]] = {}
        for trial in self.trials:
            if trial.record.phase == CONFIRM and not trial.record.is_outgrown:
                statuses.setdefault(trial.record.config_id, set()).add(trial.record.status)
        confirmed = {
            config_id
            for config_id, found in statuses.items()
            if found <= {*ENDED, FAILED} and found & set(ENDED)
        }

        def is_judged(record: TrialRecord) -> bool:
            if phase:
                return record.phase == phase
            return (record.phase == CONFIRM) == (record.config_id in confirmed)

        return [trial for trial in self.trials if is_judged(trial.record) and not trial.record.is_outgrown]


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
        return read_keys(paths, layout.remembered_rows, [*SUMMARY_KEYS, *objectives])

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
    own = [row for row in rows if is_row(row)]
    table = pd.DataFrame(own)
    kept = last_branch(table) if own else table
    left_out = Skipped(foreign=len(rows) - len(own), superseded=len(own) - len(kept))
    return kept, before + skipped + left_out


def _read_experiment(folder: Path) -> RunHistory:
    experiment = read_experiment(folder)
    return RunHistory(
        experiment.manifest,
        tuple(
            TrialHistory(record, rows, skipped)
            for record, (rows, skipped) in zip(experiment.manifest.trials, experiment.tables, strict=True)
        ),
    )
