"""What is left to do when the same run is started again."""

from __future__ import annotations

from pathlib import Path

from rlsweep.plan import Machine, Plan, make
from rlsweep.run.manifest import continue_run, new_manifest
from rlsweep.spec import load
from rlsweep.store.manifest import FINISHED, RUNNING, STOPPED, Manifest

ROOT = Path(__file__).parents[2]


def plan(*overrides: str) -> Plan:
    return make(load("cartpole_ppo.yaml", overrides=list(overrides), root=ROOT).sweep, Machine(2, 0))


def after(planned: Plan, *statuses: str) -> Manifest:
    manifest = new_manifest(planned)
    for record, status in zip(manifest.trials, statuses, strict=True):
        record.status, record.mlflow_run_id = status, f"run of {record.id}"
    return manifest


def test_a_first_start_runs_everything() -> None:
    continuation = continue_run(plan("seeds=1"), None)
    assert len(continuation.waiting) == 4
    assert continuation.superseded == []


def test_ended_trials_are_kept_and_an_interrupted_one_starts_anew() -> None:
    planned = plan("seeds=1")
    before = after(planned, FINISHED, STOPPED, RUNNING, "pending")
    continuation = continue_run(planned, before)
    assert [record.status for record in continuation.manifest.trials[:2]] == [FINISHED, STOPPED]
    assert continuation.manifest.trials[0].mlflow_run_id == before.trials[0].mlflow_run_id
    assert [record.id for record in continuation.waiting] == [record.id for record in before.trials[2:]]
    assert continuation.superseded == before.trials[2:]
    assert all(record.mlflow_run_id == "" for record in continuation.waiting)


def test_another_seed_adds_trials_and_fewer_seeds_lose_none() -> None:
    before = after(plan("seeds=[0]"), *[FINISHED] * 4)
    more = continue_run(plan("seeds=[0, 1]"), before)
    assert [record.seed for record in more.waiting] == [1] * 4
    both = after(plan("seeds=[0, 1]"), *[FINISHED] * 8)
    fewer = continue_run(plan("seeds=[0]"), both)
    assert fewer.waiting == fewer.superseded == []
    assert {record.seed for record in fewer.manifest.trials} == {0, 1}


def test_a_changed_training_supersedes_what_ended() -> None:
    before = after(plan("seeds=[0, 1]"), *[FINISHED] * 8)
    changed = continue_run(plan("seeds=[0]", "stop.env_steps=300k"), before)
    assert len(changed.waiting) == 4
    assert changed.superseded == before.trials
    assert len(changed.manifest.trials) == 4


def test_a_changed_description_or_checkpoint_interval_changes_nothing() -> None:
    before = after(plan(), *[FINISHED] * 8)
    assert continue_run(plan("description=x", "checkpoints.every=1k"), before).waiting == []
