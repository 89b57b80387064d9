"""What of a sweep's history there is after something was done to it: rows, and points in MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from analysis.history import RunHistory
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import FINISHED


@dataclass(frozen=True)
class Kept:
    """What is there, what is not, and what was made again.

    Attributes:
        lost: trials without a whole history, or that have not ended.
        repeated_env_steps: of rows that were made again, of the trial that repeated most.
        duplicate_points, missing_points: of MLflow against the history.
    """

    lost: int
    repeated_env_steps: int
    duplicate_points: int
    missing_points: int


def what_was_kept(
    run: RunHistory,
    layout: RunLayout,
    points: Mapping[str, Sequence[int]],
    endings: Sequence[str] = (FINISHED,),
) -> Kept:
    """Count, and assert what must hold of every row.

    Args:
        run: of `layout`.
        layout: of a folder.
        points: of MLflow (`points_of`).
        endings: how trials may end.
    """
    lost = repeated = duplicates = missing = 0
    for trial in run.trials:
        history, steps = trial.rows, trial.rows["env_steps"].tolist()
        assert all(later > one for one, later in pairwise(steps)), "not monotone"
        for key in ("games", "seconds", "frames"):
            assert history[key].is_monotonic_increasing, key
        is_whole = history["training_iteration"].tolist() == list(range(1, len(steps) + 1))
        lost += not (is_whole and trial.record.status in endings)
        written = rows_of(layout.result_json(trial.record.id))
        repeated = max(repeated, repeated_env_steps(written))
        made = dict(written)
        shown = [made[step] for step in points[trial.record.id]]  # a step that no row has: KeyError
        known = history.loc[history["score"].notna(), "training_iteration"]
        duplicates += len(shown) - len(set(shown))
        missing += len(set(known) - set(shown))
    assert len(points) == len(run.trials), "a run for each trial, and none beside"
    return Kept(lost, repeated, duplicates, missing)


def rows_of(result_json: Path) -> list[tuple[int, int]]:
    """Env steps and training iteration of every row, made again or not."""
    found = []
    for line in result_json.read_text().splitlines():
        try:
            row = json.loads(line)
            found.append((int(row["env_steps"]), int(row["training_iteration"])))
        except (ValueError, TypeError, KeyError):
            continue
    return found


def repeated_env_steps(rows: Sequence[tuple[int, int]]) -> int:
    """Env steps of the iterations that were made again; the second time they may be a few more or less."""
    per_iteration = max(env_steps / iteration for env_steps, iteration in rows)
    falls = [one - later + 1 for (_, one), (_, later) in pairwise(rows) if later <= one]
    return round(sum(falls) * per_iteration)


def points_of(name: str, tracking_uri: str) -> dict[str, list[int]]:
    """Trial id -> env steps of every point of its score in MLflow."""
    client = MlflowClient(tracking_uri)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs: list[Any] = [
        run for run in client.search_runs([experiment.experiment_id]) if "trial_id" in run.data.tags
    ]
    ids = [run.data.tags["trial_id"] for run in runs]
    assert len(ids) == len(set(ids)), "two runs of MLflow for one trial"
    return {
        run.data.tags["trial_id"]: [
            point.step for point in client.get_metric_history(run.info.run_id, "score")
        ]
        for run in runs
    }
