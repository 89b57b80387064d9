"""Sweeps that are told to stop, or killed: the same command goes on where they were, nothing counts twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow.tracking import MlflowClient
from waiting import wait_until

from analysis.history import read_run
from rlsweep.plan import Machine, make
from rlsweep.run.launch import launch
from rlsweep.spec import load
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest

ROOT = Path(__file__).parents[2]
EVERY = 4000
"""Env steps between two checkpoints."""

SWEEP = [
    *("run", "cartpole_ppo.yaml", "--profile", "smoke"),
    *("--set", "stop.env_steps=24k", "--set", f"checkpoints.every={EVERY}"),
]


def start(storage: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from rlsweep.cli import main; main()", *SWEEP, *more]
    environment = {**os.environ, "RLSWEEP_STORAGE": str(storage)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def env_steps_of(layout: RunLayout) -> dict[str, list[int]]:
    """Trial id -> env steps of every row that was written, made again or not."""
    return {
        path.parent.name: [json.loads(line)["env_steps"] for line in path.read_text().splitlines()]
        for path in layout.root.glob("*/result.json")
    }


def checkpoints(layout: RunLayout) -> dict[str, list[Path]]:
    return {record.id: layout.checkpoints(record.id) for record in Manifest.read(layout).trials}


def processes_of(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    """All below it but Ray's agents, which look once a minute whether their raylet is still there."""
    found = psutil.Process(driver.pid).children(recursive=True)
    return [child for child in found if "Agent" not in " ".join(child.cmdline())]


def assert_all_have_left(children: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(children, timeout=120)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []


def test_stopped_by_a_signal_and_killed_it_goes_on_each_time(tmp_path: Path) -> None:
    layout = Storage(tmp_path).run("cartpole_ppo")
    process = start(tmp_path)
    wait_until(lambda: sum(len(steps) > 1 for steps in env_steps_of(layout).values()) == 2, process)
    children = processes_of(process)
    assert children
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert "stopped with 2 trials to go; the same command goes on from their checkpoints" in messages
    assert_all_have_left(children)
    assert {record.status for record in Manifest.read(layout).trials} == {"interrupted"}
    told = {(run.info.status, run.data.tags["rlsweep.status"]) for run in children_in_mlflow(tmp_path)}
    assert told == {("KILLED", "interrupted")}

    process = start(tmp_path)
    wait_until(
        lambda: all(len(found) > 1 and is_new(found[-1]) for found in checkpoints(layout).values()), process
    )
    last = {trial_id: steps[-1] for trial_id, steps in env_steps_of(layout).items()}
    wait_until(lambda: any(steps[-1] > last[one] for one, steps in env_steps_of(layout).items()), process)
    now = env_steps_of(layout)
    assert all(steps == sorted(set(steps)) for steps in now.values()), "a checkpoint behind the last row"
    children = processes_of(process)
    process.kill()
    process.communicate(timeout=300)
    assert_all_have_left(children)

    process = start(tmp_path)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 0, messages
    assert [record.status for record in Manifest.read(layout).trials] == ["finished", "finished"]
    assert not layout.superseded.exists()
    assert_nothing_counts_twice(tmp_path, layout)
    assert {len(found) for found in checkpoints(layout).values()} <= {1, 2, 3}, "the best two and the last"


def is_new(checkpoint: Path) -> bool:
    return "-" not in checkpoint.name


def children_in_mlflow(storage: Path) -> list[Any]:
    client = MlflowClient(Storage(storage).tracking_uri)
    experiment = client.get_experiment_by_name("cartpole_ppo")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    return [run for run in runs if "trial_id" in run.data.tags]


def assert_nothing_counts_twice(storage: Path, layout: RunLayout) -> None:
    client = MlflowClient(Storage(storage).tracking_uri)
    runs = {run.data.tags["trial_id"]: run for run in children_in_mlflow(storage)}
    assert len(runs) == len(children_in_mlflow(storage)) == 2
    for trial in read_run(layout).trials:
        steps = trial.rows["env_steps"]
        assert steps.is_monotonic_increasing
        assert steps.iloc[-1] >= 24_000
        assert trial.rows["games"].is_monotonic_increasing
        assert trial.rows["seconds"].is_monotonic_increasing
        repeated = trial.skipped.superseded * steps.diff().median()
        assert repeated <= EVERY + 2 * steps.diff().max(), "at most what lies between two checkpoints"
        points = client.get_metric_history(runs[trial.record.id].info.run_id, "score")
        shown = [point.step for point in points]
        assert len(set(shown)) == len(shown)
        assert shown == sorted(shown)
        assert shown[-1] == steps.iloc[-1]


def test_a_spent_budget_leaves_checkpoints_and_more_of_it_goes_on(machine: Machine, tmp_path: Path) -> None:
    def run(budget: str) -> dict[str, list[int]]:
        overrides = [f"budget.wall_time={budget}", "stop.env_steps=150k", "search.trials=2", "seeds=1"]
        launched = launch(
            make(load("cartpole/sobol.yaml", overrides=overrides, root=ROOT).sweep, machine),
            Storage(tmp_path),
        )
        statuses.append({record.status for record in launched.manifest.trials})
        assert bool(launched.limit) == (statuses[-1] != {"finished"})
        return env_steps_of(Storage(tmp_path).run(launched.manifest.name))

    statuses: list[set[str]] = []
    for seconds in (12, 24, 48, 96, 192):  # a slow machine has not begun when a short one is spent
        first = run(f"{seconds}s")
        assert statuses[-1] <= {"interrupted", "pending"}
        if "interrupted" in statuses[-1]:
            break
    assert "interrupted" in statuses[-1]
    second = run("10min")
    assert statuses[-1] == {"finished"}
    for trial_id, steps in first.items():
        assert second[trial_id][: len(steps)] == steps
        assert second[trial_id][len(steps)] > steps[-1], "it went on"


@pytest.mark.parametrize(
    ("spec", "overrides"),
    [
        ("cartpole/tpe.yaml", ["search.trials=6"]),
        ("cartpole/hyperband.yaml", []),
        pytest.param("cartpole/sobol.yaml", ["search.trials=6"], marks=pytest.mark.chaos),
        pytest.param("cartpole/pbt.yaml", [], marks=pytest.mark.chaos),
    ],
)
def test_what_waits_or_pauses_does_not_begin_once_the_budget_is_spent(
    spec: str, overrides: list[str], machine: Machine, tmp_path: Path
) -> None:
    settings = ["budget.wall_time=8s", "stop.env_steps=2M", *overrides]
    plan = make(load(spec, overrides=settings, root=ROOT).sweep, machine)
    launched = launch(plan, Storage(tmp_path))  # it does not wait for trials that nobody lets go on
    assert launched.limit
    layout = Storage(tmp_path).run(plan.sweep.name)
    statuses = {record.id: record.status for record in launched.manifest.trials}
    assert set(statuses.values()) <= {"interrupted", "pending", "stopped"}
    begun = {trial_id for trial_id, status in statuses.items() if status != "pending"}
    assert begun == set(env_steps_of(layout))
    assert all(layout.checkpoints(trial_id) for trial_id in begun)


def test_a_trial_that_failed_goes_on_if_asked(tmp_path: Path) -> None:
    layout = Storage(tmp_path).run("cartpole_ppo")
    assert start(tmp_path).wait(timeout=300) == 0
    manifest = Manifest.read(layout)
    manifest.trials[0].status = "failed"
    manifest.write(layout)
    rows = env_steps_of(layout)
    process = start(tmp_path)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 3
    assert "1 of 2 trials failed" in messages
    assert "--retry failed" in messages
    assert env_steps_of(layout) == rows
    assert start(tmp_path, "--retry", "failed").wait(timeout=300) == 0
    now = env_steps_of(layout)
    failed = manifest.trials[0].id
    assert now[failed][: len(rows[failed])] == rows[failed]
    assert len(now[failed]) > len(rows[failed])
    assert {one: steps for one, steps in now.items() if one != failed} == {
        one: steps for one, steps in rows.items() if one != failed
    }
