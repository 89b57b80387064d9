"""Whole sweeps through the command line: what lies on disk and in MLflow, running again, failing, Ctrl-C."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import pytest
import torch
from filelock import FileLock
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from analysis.own_rows import read_rows
from rlsweep.rl.bundle import load_bundle
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
ONE_CONFIGURATION = [
    *("--set", "search.parameters.training.lr.values=[1e-3]"),
    *("--set", "search.parameters.training.num_epochs.values=[6]"),
]
SMOKE = [
    *("run", "cartpole_ppo.yaml", "--profile", "smoke"),
    *("--set", "stop.env_steps=6k", "--set", "tracking.register=cartpole"),
]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from rlsweep.cli import main; main()", *arguments]


def overriding(*settings: str) -> list[str]:
    """`--set` for each of them."""
    return [part for setting in settings for part in ("--set", setting)]


def rlsweep(storage: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environments = f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"  # trials import them by name
    return command_line.rlsweep({"RLSWEEP_STORAGE": str(storage), "PYTHONPATH": environments}, *arguments)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage in which the smoke sweep of CartPole has run."""
    folder = tmp_path_factory.mktemp("runs")
    done = rlsweep(folder, *SMOKE)
    assert done.returncode == 0, done.stderr
    assert "│ finished │" in done.stdout
    return folder


@pytest.fixture
def layout(storage: Path) -> RunLayout:
    return Storage(storage).run("cartpole_ppo")


def active_runs(storage: Path) -> dict[str, Run]:
    """The runs of the CartPole sweep in MLflow, deleted ones left out."""
    client = MlflowClient(Storage(storage).tracking_uri)
    experiment = client.get_experiment_by_name("cartpole_ppo")
    assert experiment is not None
    return {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}


def rows_of(layout: RunLayout, trial_id: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in layout.result_json(trial_id).read_text().splitlines()]


def test_every_trial_has_its_history(layout: RunLayout) -> None:
    manifest = Manifest.read(layout)
    assert [record.status for record in manifest.trials] == ["finished", "finished"]
    kept = (layout.spec / "sweeps-cartpole_ppo.yaml").read_text("utf-8")
    assert kept == (ROOT / "sweeps" / "cartpole_ppo.yaml").read_text("utf-8"), "comments and all"
    for record in manifest.trials:
        rows = rows_of(layout, record.id)
        assert len(rows) >= 3
        assert len({tuple(row) for row in rows}) == 1, "the same keys from the first row to the last"
        assert "config" not in rows[0]
        assert [row["training_iteration"] for row in rows] == list(range(1, len(rows) + 1))
        assert math.isfinite(rows[-1]["score"])
        assert rows[-1]["env_steps"] >= 6000 > rows[-2]["env_steps"]
        assert rows[-1]["evaluation/games"] == 4
        with (layout.trial(record.id) / "progress.csv").open(newline="") as stream:
            table = list(csv.DictReader(stream))
        assert [int(line["env_steps"]) for line in table] == [row["env_steps"] for row in rows]
        assert list(table[0]) == list(rows[0])
        params = json.loads((layout.trial(record.id) / "params.json").read_text())
        assert params == {"values": record.values, "seed": record.seed}
        assert layout.checkpoints(record.id)


def test_mlflow_has_a_parent_and_a_child_for_each_trial(storage: Path, layout: RunLayout) -> None:
    manifest = Manifest.read(layout)
    client = MlflowClient(Storage(storage).tracking_uri)
    runs = active_runs(storage)
    parent = runs.pop(manifest.mlflow.parent_run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["rlsweep.spec_hash"] == manifest.spec_hash
    assert [item.path for item in client.list_artifacts(parent.info.run_id)] == [
        *("policy", "report", "spec.yaml", "summary.json")
    ]
    assert parent.data.tags["mlflow.source.git.branch"] == manifest.git["branch"]
    assert set(runs) == {record.mlflow_run_id for record in manifest.trials}
    for record in manifest.trials:
        child = runs[record.mlflow_run_id]
        rows = rows_of(layout, record.id)
        assert child.info.status == "FINISHED"
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        [artifact] = client.list_artifacts(record.mlflow_run_id)
        assert artifact.path == "hyperparameters.yaml"
        assert child.data.tags["rlsweep.status"] == "finished"
        assert child.data.params["training.num_epochs"] == str(record.values["training.num_epochs"])
        assert child.data.params["seed"] == "0"
        points = client.get_metric_history(record.mlflow_run_id, "score")
        assert [(p.step, p.value) for p in points] == [
            (row["env_steps"], row["score"]) for row in rows if math.isfinite(row["score"])
        ]


LOAD = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
import mlflow, numpy
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/cartpole@best")
import rlsweep
print(rlsweep.__file__)
observations = numpy.random.default_rng(0).normal(size=(64, 4)).astype(numpy.float32)
print(model.predict(observations).tolist())
print(model.predict(observations, params={"greedy": False, "seed": 1}).tolist())
"""
"""Without the rlsweep that is installed: the model has all that it needs."""


def test_the_winner_is_a_registered_model_that_loads_alone(
    storage: Path, layout: RunLayout, tmp_path: Path
) -> None:
    uri = Storage(storage).tracking_uri
    done = subprocess.run(
        [sys.executable, "-c", LOAD, uri], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    where, greedy, sampled = done.stdout.splitlines()
    assert Path(where).is_relative_to(storage / "artifacts"), "the code that went along"
    assert rlsweep(storage, "best", "cartpole_ppo").returncode == 0
    policy = load_bundle(layout.best).policy
    observations = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    with torch.inference_mode():
        expected = policy.decide(torch.from_numpy(observations)).argmax(-1).tolist()
    assert json.loads(greedy) == expected
    assert json.loads(sampled) != expected
    client = MlflowClient(uri)
    version = client.get_model_version_by_alias("cartpole", "best")
    manifest = Manifest.read(layout)
    assert version.run_id == manifest.mlflow.parent_run_id
    assert version.tags["git_commit"] == manifest.git_commit
    assert float(version.tags["score"]) > 0
    assert rlsweep(storage, "sync", "cartpole_ppo").returncode == 0
    assert len(client.search_model_versions("name='cartpole'")) == 1, "once for each winner"
    played = rlsweep(storage, "rollout", "models:/cartpole@best", "--games", "2", "--json")
    assert len(json.loads(played.stdout)["scores"]) == 2
    assert rlsweep(storage, "status", "models:/cartpole@best").stdout.count("cartpole_ppo") == 1
    child = manifest.trials[0].mlflow_run_id
    assert rlsweep(storage, "best", f"runs:/{child}").stdout.startswith("winner: ")
    nobody = rlsweep(storage, "rollout", "models:/nobody@best")
    assert nobody.returncode == 1
    assert "Registered Model with name=nobody not found" in nobody.stderr


def test_report_best_and_rollout_follow(storage: Path, layout: RunLayout) -> None:
    done = rlsweep(storage, "report", "cartpole_ppo")
    assert done.returncode == 0
    assert "lr=0.001,num_epochs=6" in done.stdout
    assert (layout.report / "learning_curves.png").stat().st_size > 10_000
    assert "<title>cartpole_ppo · rlsweep</title>" in (layout.report / "index.html").read_text("utf-8")
    elsewhere = storage.parent / "early"
    early = rlsweep(storage, "report", "cartpole_ppo", "--at", "3k", "--output", str(elsewhere))
    assert "│ 2,0" in early.stdout, "the rows at 2,0.. env steps"
    assert "Every trial after 3,000 env steps" in (elsewhere / "summary.md").read_text("utf-8")
    wrong = rlsweep(storage, "report", "cartpole_ppo", "--at", "soon")
    assert (wrong.returncode, wrong.stderr.count("allowed: 10M, 40M frames, 90min, 1h")) == (2, 1)
    best = json.loads(rlsweep(storage, "best", "cartpole_ppo", "--json").stdout)
    finals = {
        record.config_id: rows_of(layout, record.id)[-1]["score"] for record in Manifest.read(layout).trials
    }
    assert best["configuration"] == max(finals, key=finals.__getitem__)
    played = rlsweep(storage, "rollout", best["bundle"], "--games", "3", "--json")
    assert len(json.loads(played.stdout)["scores"]) == 3
    again = rlsweep(storage, "rollout", "cartpole_ppo", "--games", "3", "--seed", "4")
    assert again.stdout.count("score ") == 3
    assert "over 3 games" in again.stdout


def test_policies_against_each_other_and_their_scores_in_mlflow(
    storage: Path, layout: RunLayout, tmp_path: Path
) -> None:
    best = json.loads(rlsweep(storage, "best", "cartpole_ppo", "--json").stdout)
    early = tmp_path / "early"
    assert rlsweep(storage, "best", "cartpole_ppo", "--at", "1", "--export", str(early)).returncode == 0
    arguments = ("cartpole_ppo", str(early), "--games", "4", "--log", "--json", "--seed", "3")
    done = rlsweep(storage, "rollout", *arguments, "--video", str(tmp_path / "both.gif"), "--beside", "2")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [len(policy["scores"]) for policy in found["policies"]] == [4, 4]
    assert len(found["differences"]) == 1
    client = MlflowClient(Storage(storage).tracking_uri)
    run_id = Manifest.read(layout).trial(best["trial"]).mlflow_run_id
    points = {point.step: point.value for point in client.get_metric_history(run_id, "rollout/mean")}
    assert points[best["env_steps"]] == found["policies"][0]["mean"]
    assert {item.path for item in client.list_artifacts(run_id, "rollout")} == {
        *("rollout/both.gif", "rollout/sampled-seed3-4-games.json")
    }
    unknown = rlsweep(tmp_path, "rollout", str(early), "--log")
    assert (unknown.returncode, "is not in" in unknown.stderr) == (2, True)
    twice = rlsweep(storage, "rollout", "cartpole_ppo", "cartpole_ppo")
    assert (twice.returncode, "different policies" in twice.stderr) == (2, True)


def test_two_runs_side_by_side_and_how_they_stand(layout: RunLayout, tmp_path: Path) -> None:
    shutil.copytree(layout.root, tmp_path / "other")
    shutil.copytree(layout.root, tmp_path / "cartpole_ppo")
    other = Manifest.read(Storage(tmp_path).run("other"))
    other.name = "other"
    other.write(Storage(tmp_path).run("other"))
    done = rlsweep(tmp_path, "report", "cartpole_ppo", "other")
    assert done.returncode == 0, done.stderr
    assert "other: lr=0.001,num_epochs=10" in done.stdout
    assert (tmp_path / "cartpole_ppo" / "report" / "with-other" / "index.html").is_file()
    standing = rlsweep(tmp_path, "status")
    assert "2 finished" in standing.stdout
    one = json.loads(rlsweep(tmp_path, "status", "other", "--json").stdout)
    assert [trial["words"] for trial in one[0]["trials"]] == ["finished", "finished"]
    best = json.loads(
        rlsweep(
            tmp_path, "best", "other", "--top", "2", "--at", "1k", "--json", "--export", str(tmp_path / "p")
        ).stdout
    )
    assert len(best["top"]) == 2
    assert best["reason"].startswith("the nearest to 1,000 env steps of ")
    assert load_bundle(tmp_path / "p").algorithm == "ppo"
    missing = rlsweep(tmp_path, "best", "othre")
    assert (missing.returncode, "did you mean 'other'?" in missing.stderr) == (2, True)


def test_running_again_skips_what_has_ended_and_a_new_seed_adds_trials(
    storage: Path, layout: RunLayout
) -> None:
    before = Manifest.read(layout)
    kept = {record.id: layout.result_json(record.id).read_bytes() for record in before.trials}
    assert rlsweep(storage, *SMOKE).returncode == 0
    assert Manifest.read(layout).trials == before.trials
    assert rlsweep(storage, *SMOKE, "--set", "seeds=[0, 5]").returncode == 0
    after = Manifest.read(layout)
    assert [record.seed for record in after.trials] == [0, 0, 5, 5]
    assert all(layout.result_json(trial_id).read_bytes() == rows for trial_id, rows in kept.items())
    assert len(active_runs(storage)) == 1 + 4


def test_another_spec_of_the_same_name_does_not_set_results_aside_unasked(tmp_path: Path) -> None:
    plain = ["run", "cartpole_ppo.yaml", "--set", "seeds=1", *ONE_CONFIGURATION]
    other = [*plain, "--set", "stop.env_steps=3k", "--set", "training.gamma=0.9"]
    assert rlsweep(tmp_path, *plain, "--set", "stop.env_steps=2k").returncode == 0
    done = rlsweep(tmp_path, *other)
    assert done.returncode == 4
    assert "holds 1 ended trials of another spec" in done.stderr
    assert "  stop.env_steps: 2000 -> 3000\n  training.gamma: 0.99 -> 0.9\n" in done.stderr
    done = rlsweep(tmp_path, *other, "--supersede")
    assert done.returncode == 0
    layout = Storage(tmp_path).run("cartpole_ppo")
    assert len(list(layout.superseded.iterdir())) == 1
    assert len(active_runs(tmp_path)) == 1 + 1


def test_a_longer_stop_lets_a_fork_go_on_and_leaves_the_first_sweep_as_it_is(tmp_path: Path) -> None:
    plain = ["run", "cartpole_ppo.yaml", "--set", "seeds=1", *ONE_CONFIGURATION]
    assert rlsweep(tmp_path, *plain, "--set", "stop.env_steps=2k").returncode == 0
    done = rlsweep(tmp_path, *plain, "--set", "stop.env_steps=6k", "--fork", "longer")
    assert done.returncode == 0, done.stderr
    first, longer = Storage(tmp_path).run("cartpole_ppo"), Storage(tmp_path).run("longer")
    (record,) = Manifest.read(first).trials
    rows, more = ([row["env_steps"] for row in rows_of(layout, record.id)] for layout in (first, longer))
    assert more[: len(rows)] == rows
    assert more[-1] >= 6000 > rows[-1]
    assert Manifest.read(longer).forked_from == "cartpole_ppo"


def test_a_tracking_uri_that_is_none_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "foo://bar")
    done = rlsweep(tmp_path, *SMOKE)
    assert done.returncode == 4
    assert "MLflow cannot open foo://bar" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_run_the_same_sweep(tmp_path: Path) -> None:
    layout = Storage(tmp_path).run("cartpole_ppo")
    layout.root.mkdir(parents=True)
    with FileLock(layout.lock):
        done = rlsweep(tmp_path, *SMOKE)
    assert done.returncode == 4
    assert "is in use by another process" in done.stderr


def test_asha_stops_some_trials_and_says_so(tmp_path: Path) -> None:
    overrides = overriding(
        "scheduler={type: asha, grace: 2k, reduction_factor: 2}",
        "search.parameters.training.num_epochs.values=[6]",
        "search.parameters.training.lr.values=[1e-3, 1e-7, 1e-8, 1e-9]",
        "stop.env_steps=20k",
        "resources.max_concurrent=1",
    )
    done = rlsweep(tmp_path, "run", "cartpole_ppo.yaml", "--profile", "smoke", *overrides)
    assert done.returncode == 0, done.stderr
    manifest = Manifest.read(Storage(tmp_path).run("cartpole_ppo"))
    statuses = {record.config_id: record.status for record in manifest.trials}
    assert statuses["lr=0.001,num_epochs=6"] == "finished"
    assert "stopped" in statuses.values()
    report = Storage(tmp_path).run("cartpole_ppo").report / "summary.md"
    assert "Not every trial ran to its stop" in report.read_text()
    client = MlflowClient(Storage(tmp_path).tracking_uri)
    for record in manifest.trials:
        words = client.get_run(record.mlflow_run_id).data.tags["rlsweep.status"]
        assert words.startswith("stopped early by" if record.status == "stopped" else record.status)


def test_a_failing_trial_fails_alone(tmp_path: Path) -> None:
    spec = tmp_path / "crash.yaml"
    spec.write_text(
        """
version: 1
name: crash
algorithm: ppo
env: {id: "crashing_env:Crashing-v0"}
training: {train_batch_size_per_learner: 64, minibatch_size: 32, num_epochs: 1}
network: {name: mlp}
search: {method: grid, parameters: {env.kwargs.crash_at: {values: [40, 100000]}}}
objective: {metric: score, goal: maximize}
resources: {envs_per_env_runner: 1}
failures: {max_retries: 0}
stop: {env_steps: 200}
"""
    )
    done = rlsweep(tmp_path, "run", str(spec))
    assert done.returncode == 3, done.stderr
    layout = Storage(tmp_path).run("crash")
    failed, finished = Manifest.read(layout).trials
    assert (failed.status, finished.status) == ("failed", "finished")
    assert f"1 of 2 trials failed:\n  {layout.trial(failed.id) / 'error.txt'}" in done.stderr
    words = "failed (environment): ValueError: the environment broke on purpose"
    assert f"{failed.id}: {words}" in done.stderr
    assert "the environment broke on purpose" in (layout.trial(failed.id) / "error.txt").read_text()
    client = MlflowClient(Storage(tmp_path).tracking_uri)
    run = client.get_run(failed.mlflow_run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["rlsweep.status"] == words


def test_a_retry_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    spec = tmp_path / "retry.yaml"
    spec.write_text(
        """
version: 1
name: retry
algorithm: ppo
env: {id: "crashing_env:Crashing-v0", kwargs: {crash_at: 300}}
training: {train_batch_size_per_learner: 64, minibatch_size: 32, num_epochs: 1}
network: {name: mlp}
objective: {metric: score, goal: maximize}
resources: {envs_per_env_runner: 1}
checkpoints: {every: 190}
failures: {max_retries: 1, backoff: 1s}
stop: {env_steps: 420}
"""
    )
    done = rlsweep(tmp_path, "run", str(spec))
    assert done.returncode == 0, done.stderr
    layout = Storage(tmp_path).run("retry")
    (record,) = Manifest.read(layout).trials
    assert record.status == "finished"
    rows = rows_of(layout, record.id)
    steps = [row["env_steps"] for row in rows]
    (restart,) = [i for i, (before, after) in enumerate(pairwise(steps)) if after <= before]
    assert steps[restart + 1] > 64, "it did not start from nothing"
    assert steps[-1] >= 420
    assert len({tuple(row) for row in rows}) == 1
    table, _ = read_rows(layout.result_json(record.id))
    assert table["env_steps"].is_monotonic_increasing
    assert table["games"].is_monotonic_increasing


def test_a_missing_gpu_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = rlsweep(tmp_path, *SMOKE, "--set", "resources.gpus_per_learner=0.5")
    assert done.returncode == 4
    assert "--set resources.gpus_per_learner=0.5: one trial can never start" in done.stderr
    assert list(tmp_path.iterdir()) == []
    planned = rlsweep(tmp_path, *SMOKE, "--set", "resources.gpus_per_learner=0.5", "--cpu", "--dry-run")
    assert planned.returncode == 0, planned.stderr


def test_a_learning_rate_of_one_is_diagnosed(tmp_path: Path) -> None:
    """A real case: the policy is deterministic after a few updates; console and MLflow say so."""
    overrides = overriding(
        "search.parameters.training.lr.values=[1.0]",
        "search.parameters.training.num_epochs.values=[6]",
        "training.train_batch_size_per_learner=256",
        "stop.env_steps=8k",
    )
    done = rlsweep(tmp_path, "run", "cartpole_ppo.yaml", "--profile", "smoke", *overrides)
    assert done.returncode == 0, done.stderr
    [trial] = Manifest.read(Storage(tmp_path).run("cartpole_ppo")).trials
    assert f"{trial.id}: the policy's entropy fell from" in done.stderr
    assert done.stderr.count("the policy's entropy fell from") == 1
    tags = MlflowClient(Storage(tmp_path).tracking_uri).get_run(trial.mlflow_run_id).data.tags
    assert "lower training.lr" in tags["rlsweep.diagnosis.entropy_collapse"]
