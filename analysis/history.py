"""Runs read back from disk: the manifest and every trial's rows, as pandas tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rlsweep.errors import RunError
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import Manifest, TrialRecord
from rlsweep.store.rows import ENV_STEPS, SCORE


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
    def metric(self) -> str:
        """The row key that configurations are compared by."""
        return str(self.manifest.spec.get("objective", {}).get("metric", SCORE))

    @property
    def maximize(self) -> bool:
        """Whether more of it is better."""
        return bool(self.manifest.spec["objective"]["goal"] == "maximize")


def read_run(layout: RunLayout) -> RunHistory:
    """Read a run folder.

    Raises:
        RunError: there is no manifest, or it does not hold together.
    """
    manifest = Manifest.read(layout)
    return RunHistory(manifest, tuple(_read_trial(layout, record) for record in manifest.trials))


def read_rows(path: Path) -> tuple[pd.DataFrame, int]:
    """The rows of one result.json, and how many of its lines were skipped.

    A half-written last line (the machine died) is skipped, not fatal. A missing file is an empty table.
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
    table = pd.DataFrame(rows)
    if not table.empty:
        table = table.sort_values(ENV_STEPS, kind="stable").drop_duplicates(ENV_STEPS, keep="last")
    return table.reset_index(drop=True), skipped


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
    return row if isinstance(row, dict) and ENV_STEPS in row else None
