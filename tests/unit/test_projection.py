"""Runs in MLflow that were lost, or that hang on a parent that was: they are found or made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mlflow.entities import Run
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


def status_of(client: MlflowClient, run_id: str) -> str:
    return str(client.get_run(run_id).info.status)


def test_sweeps_that_name_the_same_run_stand_below_it(tmp_path: Path) -> None:
    uri, history = f"sqlite:///{tmp_path}/shared.db", history_of(tmp_path, 5)
    sweeps = [sweep_of(tmp_path, name=name, key=f"key-of-{name}", parent_run="all") for name in "ab"]
    shards = [bring(uri, one, trial_of(history, key=f"trial of {one.name}")) for one in sweeps]
    client = MlflowClient(uri)
    above = {client.get_run(one.parent_run_id).data.tags["mlflow.parentRunId"] for one in shards}
    assert len(above) == 1
    shared = client.get_run(above.pop())
    assert shared.info.run_name == "all"
    experiment = client.get_experiment(shared.info.experiment_id)
    assert experiment.name == "all"
    assert len(client.search_runs([experiment.experiment_id])) == 5
    shards[0].end("FINISHED")
    assert status_of(client, shared.info.run_id) == "RUNNING", "the other sweep is"
    shards[1].end("KILLED")
    assert status_of(client, shared.info.run_id) == "KILLED"
    again = bring(uri, replace(sweeps[1], run_id=shards[1].parent_run_id), trial_of(history))
    assert status_of(client, shared.info.run_id) == "RUNNING"
    again.end("FINISHED")
    assert status_of(client, shared.info.run_id) == "FINISHED"


def test_of_two_that_make_the_run_above_at_once_both_take_the_earlier(tmp_path: Path) -> None:
    uri, late = f"sqlite:///{tmp_path}/race.db", sweep_of(tmp_path, name="b", key="b", parent_run="all")
    client = MlflowClient(uri)
    experiment_id = client.create_experiment("all", artifact_location=(tmp_path / "artifacts").as_uri())
    earlier: list[str] = []

    class Late(Projection):
        def _create(self, key: str, tags: Mapping[str, str]) -> Run:
            if not earlier:  # another driver is faster by a moment
                own = client.create_run(experiment_id, start_time=1, tags={"rlsweep.key": key})
                earlier.append(own.info.run_id)
            return super()._create(key, tags)

    projection = Late(late, uri)
    projection.open()
    parent = client.get_run(projection.parent_run_id)
    assert parent.data.tags["mlflow.parentRunId"] == earlier[0]
    assert len(client.search_runs([experiment_id])) == 2, "the later one is deleted"


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
