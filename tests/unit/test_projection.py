"""Runs in MLflow that were lost, or that hang on a parent that was: they are found or made again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mlflow.tracking import MlflowClient

from callbacks.driver.points import Chosen
from callbacks.driver.projection import MAX_TAG_LENGTH, Projection, TrackedSweep, TrackedTrial

LOST = "0" * 32


def sweep_of(folder: Path, **changes: object) -> TrackedSweep:
    chosen = Chosen(["score"], 1000)
    sweep = TrackedSweep("s", "key-of-s", "name: s\n", {"rlsweep.host": "here"}, chosen, folder / "artifacts")
    return replace(sweep, **changes)  # type: ignore[arg-type]


def trial_of(history: Path, **changes: object) -> TrackedTrial:
    trial = TrackedTrial("t", "key-of-t", "lr=1", {"lr": 1}, {"seed": "0"}, "FINISHED", history, {})
    return replace(trial, **changes)  # type: ignore[arg-type]


def history_of(folder: Path, rows: int) -> Path:
    path = folder / "result.json"
    lines = [{"score": i, "env_steps": 10 * i, "timestamp": 100.0 + i} for i in range(rows)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def bring(uri: str, sweep: TrackedSweep, trial: TrackedTrial) -> Projection:
    projection = Projection(sweep, uri)
    projection.open()
    projection.bring(trial)
    return projection


def test_ids_that_the_store_does_not_know_are_made_anew(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/lost.db"
    history = history_of(tmp_path, 5)
    found = bring(uri, sweep_of(tmp_path, run_id=LOST), trial_of(history, run_id=LOST))
    assert LOST not in (found.parent_run_id, *found.run_ids.values())
    points = MlflowClient(uri).get_metric_history(found.run_ids["t"], "score")
    assert [point.value for point in points] == [0, 1, 2, 3, 4]


def test_a_child_hangs_on_the_parent_that_there_is_now(tmp_path: Path) -> None:
    uri, history = f"sqlite:///{tmp_path}/lost.db", history_of(tmp_path, 5)
    before = bring(uri, sweep_of(tmp_path), trial_of(history))
    client = MlflowClient(uri)
    client.delete_run(before.parent_run_id)
    after = bring(uri, sweep_of(tmp_path, run_id=before.parent_run_id), trial_of(history))
    assert after.parent_run_id != before.parent_run_id
    assert after.run_ids == before.run_ids
    child = client.get_run(after.run_ids["t"])
    assert child.data.tags["mlflow.parentRunId"] == after.parent_run_id
    assert len(client.get_metric_history(child.info.run_id, "score")) == 5


def test_long_tags_are_cut_and_many_points_go_with_their_position(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/long.db"
    history = history_of(tmp_path, 1500)
    sweep = sweep_of(tmp_path, tags={"rlsweep.description": "x" * 9000}, chosen=Chosen(["score"], 15_000))
    found = bring(uri, sweep, trial_of(history, tags={f"tag-{i}": "v" for i in range(90)}))
    client = MlflowClient(uri)
    tags = client.get_run(found.parent_run_id).data.tags
    assert len(tags["rlsweep.description"]) == MAX_TAG_LENGTH
    child = client.get_run(found.run_ids["t"])
    assert len(client.get_metric_history(child.info.run_id, "score")) == 1500
    assert child.data.tags["rlsweep.position"].startswith(f"{history.stat().st_size}:")
