"""Runs read back from disk: the manifest and every trial's rows, as pandas tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rlsweep.errors import RunError
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import CONFIRM, Manifest, Objective, TrialRecord
from rlsweep.store.rows import ENV_STEPS, ITERATION, PHASE_NAME

LAST_BYTES = 64 * 1024
"""A row takes about 2 kB."""


@dataclass(frozen=True)
class TrialHistory:
    """One trial's rows.

    Attributes:
        record: the trial in the manifest.
        rows: one row per iteration in the order of env steps; empty before the first result.
        skipped_lines: lines of result.json that were no whole row.
    """

    record: TrialRecord
    rows: pd.DataFrame
    skipped_lines: int = 0


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
    """Read a run folder.

    Raises:
        RunError: there is no manifest, or it does not hold together.
    """
    manifest = Manifest.read(layout)
    return RunHistory(manifest, tuple(_read_trial(layout, record) for record in manifest.trials))


def read_rows(path: Path) -> tuple[pd.DataFrame, int]:
    """The rows of one result.json, and how many of its lines were skipped.

    A half-written last line (the machine died) is skipped, not fatal. Rows that a retry made again from a
    checkpoint replace those that stood after it. A missing file is an empty table.
    """
    if not path.is_file():
        return pd.DataFrame(), 0
    rows: list[dict[str, Any]] = []
    skipped = 0
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            row = _parse(line)
            if row is None:
                skipped += 1
            else:
                rows.append(row)
    return pd.DataFrame(_last_branch(rows)), skipped


def last_row_of(path: Path) -> dict[str, Any]:
    """The last whole row of a result.json, read from its end; empty where there is none."""
    if not path.is_file():
        return {}
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - LAST_BYTES))
        lines = stream.read().decode("utf-8", errors="replace").splitlines()
    return next((row for line in reversed(lines) if (row := _parse(line)) is not None), {})


def _last_branch(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without those that a later row, at as few or fewer iterations or env steps, made obsolete.

    An iteration that is made again may take an env step more or less.
    """
    kept: list[dict[str, Any]] = []
    for row in rows:
        while kept and any(kept[-1].get(axis, -1) >= row.get(axis, 0) for axis in (ITERATION, ENV_STEPS)):
            kept.pop()
        kept.append(row)
    return kept


def _read_trial(layout: RunLayout, record: TrialRecord) -> TrialHistory:
    try:
        rows, skipped = read_rows(layout.result_json(record.id))
    except OSError as error:
        raise RunError(f"{record.id}: {error}") from None
    return TrialHistory(record, rows, skipped)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    is_row = isinstance(row, dict) and all(_is_value(key, value) for key, value in row.items())
    return row if is_row and isinstance(row.get(ENV_STEPS), int) else None


def _is_value(key: str, value: Any) -> bool:
    return isinstance(value, str if key == PHASE_NAME else (int, float))
