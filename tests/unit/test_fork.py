"""Sweeps that begin with what another one has done, and trials whose stop is further away than before."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlsweep.plan import Machine, Plan, make
from rlsweep.run.fork import MAX_DIFFERENCES, differences, fork
from rlsweep.run.manifest import continue_run, new_manifest
from rlsweep.spec import load
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import Manifest

ROOT = Path(__file__).parents[2]


def plan(*overrides: str) -> Plan:
    sweep = load("cartpole_ppo.yaml", overrides=["seeds=1", *overrides], root=ROOT).sweep
    return make(sweep, Machine.of(2, 0))


def after(planned: Plan, *statuses: str) -> Manifest:
    manifest = new_manifest(planned)
    for record, status in zip(manifest.trials, statuses, strict=True):
        record.status, record.mlflow_run_id = status, f"run of {record.id}"
    return manifest


ALL = ("finished", "stopped", "diverged", "failed")


@pytest.mark.parametrize(
    ("before", "now", "statuses"),
    [
        ("stop.env_steps=100k", "stop.env_steps=200k", ["interrupted", "stopped", "diverged", "failed"]),
        ("stop={env_steps: 100k, score: 90}", "stop.env_steps=100k", ["interrupted", *ALL[1:]]),
        ("stop={env_steps: 100k, time: 1h}", "stop={env_steps: 100k, time: 2h}", ["interrupted", *ALL[1:]]),
        ("stop.env_steps=200k", "stop.env_steps=100k", ["pending"] * 4),
        ("stop.env_steps=100k", "stop={env_steps: 200k, score: 90}", ["pending"] * 4),
        ("stop={env_steps: 100k, time: 2h}", "stop={env_steps: 200k, time: 1h}", ["pending"] * 4),
    ],
)
def test_only_a_stop_that_is_further_away_lets_trials_go_on(
    before: str, now: str, statuses: list[str]
) -> None:
    continuation = continue_run(plan(now), after(plan(before), *ALL))
    assert [record.status for record in continuation.manifest.trials] == statuses
    has_other_trials = statuses[0] == "pending"
    assert len(continuation.lost) == (3 if has_other_trials else 0)
    assert all(record.mlflow_run_id for record in continuation.manifest.trials) is not has_other_trials


@pytest.mark.parametrize(
    "fewer", ["seeds=[0]", "search.parameters.training.lr.values=[LR]"], ids=["seeds", "trials"]
)
def test_a_longer_stop_for_fewer_trials_leaves_the_others_as_they_are(fewer: str) -> None:
    short = plan("stop.env_steps=100k", "seeds=[0, 1]")
    fewer = fewer.replace("LR", str(short.trials[0].values["training.lr"]))
    before = after(short, "finished", "finished", *ALL, "interrupted", "pending")
    seeds = [] if fewer.startswith("seeds") else ["seeds=[0, 1]"]
    longer = plan("stop.env_steps=200k", *seeds, fewer)
    continuation = continue_run(longer, before)
    planned = {trial.id for trial in longer.trials}
    assert 0 < len(planned) < 8
    assert continuation.lost == []
    assert {record.id for record in continuation.waiting} <= planned
    for old, record in [(old, continuation.manifest.trial(old.id)) for old in before.trials[:6]]:
        goes_on = old.id in planned and old.status == "finished"
        assert record.status == ("interrupted" if goes_on else old.status)
        assert record.is_outgrown is (old.id not in planned)
        assert record.mlflow_run_id == f"run of {old.id}"
    unended = {record.id for record in before.trials[6:]} - planned
    assert {record.id for record in continuation.superseded} == unended, "as with fewer trials alone"
    again = continue_run(longer, continuation.manifest).manifest
    assert again.trials == continuation.manifest.trials
    everything = continue_run(plan("stop.env_steps=200k", "seeds=[0, 1]"), continuation.manifest).manifest
    assert not any(record.is_outgrown for record in everything.trials), "asked for again, they go on"
    assert [everything.trial(one.id).status for one in before.trials[:2]] == ["interrupted"] * 2


def test_trials_outside_of_a_plan_of_another_training_are_lost_whatever_its_stop() -> None:
    before = after(plan("stop.env_steps=100k", "seeds=[0, 1]"), *["finished"] * 8)
    for change in ("training.gamma=0.9", "stop.env_steps=50k", "training.entropy_coeff={linear: [0.001, 0]}"):
        assert len(continue_run(plan("stop.env_steps=200k", "seeds=[0]", change), before).lost) == 8


@pytest.mark.parametrize(
    ("schedule", "goes_on"),
    [("{linear: [0.001, 0]}", False), ("{piecewise: [[0, 0.001], [50k, 0.0001]]}", True)],
)
def test_a_schedule_over_the_whole_length_makes_a_longer_trial_another_one(
    schedule: str, goes_on: bool
) -> None:
    with_schedule = f"training.entropy_coeff={schedule}"
    before = after(plan("stop.env_steps=100k", with_schedule), *ALL)
    continuation = continue_run(plan("stop.env_steps=200k", with_schedule), before)
    assert (continuation.manifest.trials[0].status == "interrupted") is goes_on


def test_a_fork_takes_what_the_changed_spec_still_asks_for_and_leaves_the_other_as_it_is(
    tmp_path: Path,
) -> None:
    source, target = RunLayout(tmp_path / "one"), RunLayout(tmp_path / "other")
    before = after(plan("name=one"), "finished", "running", "pending", "finished")
    before.write(source)
    for record in before.trials:
        source.trial(record.id).mkdir()
        source.result_json(record.id).write_text(f"{record.id}\n")
    as_it_was = source.manifest.read_text()
    values = "search.parameters.training.lr.values=[" + str(before.trials[0].values["training.lr"]) + "]"
    changed = plan("name=other", values)
    continuation = fork(changed, source, target)
    planned = {trial.id for trial in changed.trials}
    assert planned == {record.id for record in before.trials[:2]}
    kept = [*before.trials[:2], before.trials[3]]  # the last one has ended, and can be compared
    assert [record.id for record in continuation.manifest.trials] == [record.id for record in kept]
    assert continuation.manifest.forked_from == "one"
    assert continuation.lost == continuation.superseded == []
    for record, old in zip(continuation.manifest.trials, kept, strict=True):
        assert record.status == {"running": "interrupted"}.get(old.status, old.status)
        assert (record.mlflow_run_id, record.mlflow_key == old.mlflow_key) == ("", False)
        assert target.result_json(record.id).read_text() == f"{old.id}\n"
    assert not target.trial(before.trials[2].id).exists()
    assert continuation.manifest.mlflow.key != before.mlflow.key
    assert source.manifest.read_text() == as_it_was
    assert {path.name for path in source.root.iterdir()} == {"sweep.json", *(one.id for one in before.trials)}


def test_differences_are_told_by_path() -> None:
    before = {"stop": {"env_steps": 100}, "training": {"lr": 1e-3, "gamma": 0.9}, "seeds": [0]}
    now = {"stop": {"env_steps": 200}, "training": {"lr": 1e-3}, "seeds": [0], "env": {"id": None}}
    assert differences(before, now) == [
        "env.id: not written -> None",
        "stop.env_steps: 100 -> 200",
        "training.gamma: 0.9 -> not written",
    ]
    many = differences({}, {str(index): index for index in range(MAX_DIFFERENCES + 3)})
    assert len(many) == MAX_DIFFERENCES + 1
    assert many[-1] == "and 3 more"
