"""What is left to do when the same run is started again."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlsweep.plan import Machine, Plan, make
from rlsweep.run.manifest import continue_run, new_manifest
from rlsweep.spec import load
from rlsweep.store.manifest import FINISHED, RUNNING, STOPPED, Manifest

ROOT = Path(__file__).parents[2]


def plan(*overrides: str) -> Plan:
    return make(load("cartpole_ppo.yaml", overrides=list(overrides), root=ROOT).sweep, Machine.of(2, 0))


def after(planned: Plan, *statuses: str) -> Manifest:
    manifest = new_manifest(planned)
    for record, status in zip(manifest.trials, statuses, strict=True):
        record.status, record.mlflow_run_id = status, f"run of {record.id}"
    return manifest


def test_a_first_start_runs_everything() -> None:
    continuation = continue_run(plan("seeds=1"), None)
    assert len(continuation.waiting) == 4
    assert continuation.superseded == []


def test_ended_trials_are_kept_and_an_interrupted_one_goes_on() -> None:
    planned = plan("seeds=1")
    before = after(planned, FINISHED, STOPPED, RUNNING, "pending")
    continuation = continue_run(planned, before)
    assert [record.status for record in continuation.waiting] == ["interrupted", "pending"]
    assert [record.status for record in continuation.manifest.trials[:2]] == [FINISHED, STOPPED]
    assert continuation.manifest.trials[0].mlflow_run_id == before.trials[0].mlflow_run_id
    assert [record.id for record in continuation.waiting] == [record.id for record in before.trials[2:]]
    assert continuation.superseded == []
    assert all(record.mlflow_run_id for record in continuation.waiting), "no run is made twice"


def test_a_failed_trial_waits_only_if_asked_to() -> None:
    planned = plan("seeds=1")
    before = after(planned, FINISHED, *["failed"] * 3)
    assert continue_run(planned, before).waiting == []
    assert [record.status for record in continue_run(planned, before).manifest.trials][1:] == ["failed"] * 3
    again = continue_run(planned, before, retry_failed=True)
    assert [record.id for record in again.waiting] == [record.id for record in before.trials[1:]]


def test_another_curriculum_or_other_callbacks_are_another_experiment() -> None:
    before = after(plan("seeds=1"), *[FINISHED] * 4)
    curriculum = "curriculum={phases: [{name: a, until: {score: 5}}, {name: b}]}"
    for override in (curriculum, "callbacks=[callbacks.worker.actions:ActionHistogram]"):
        assert continue_run(plan("seeds=1", override), before).lost == before.trials
    with_phases = after(plan("seeds=1", curriculum), *[FINISHED] * 4)
    other = curriculum.replace("score: 5", "score: 6")
    assert continue_run(plan("seeds=1", other), with_phases).lost == with_phases.trials
    assert continue_run(plan("seeds=1", curriculum), with_phases).lost == []


def test_another_seed_adds_trials_and_fewer_seeds_lose_none() -> None:
    before = after(plan("seeds=[0]"), *[FINISHED] * 4)
    more = continue_run(plan("seeds=[0, 1]"), before)
    assert [record.seed for record in more.waiting] == [1] * 4
    both = after(plan("seeds=[0, 1]"), *[FINISHED] * 8)
    fewer = continue_run(plan("seeds=[0]"), both)
    assert fewer.waiting == fewer.superseded == []
    assert {record.seed for record in fewer.manifest.trials} == {0, 1}


def test_a_changed_training_supersedes_what_ended_and_counts_it_as_lost() -> None:
    before = after(plan("seeds=[0, 1]"), *[FINISHED] * 8)
    changed = continue_run(plan("seeds=[0]", "training.gamma=0.9"), before)
    assert len(changed.waiting) == 4
    assert changed.superseded == changed.lost == before.trials
    assert len(changed.manifest.trials) == 4


def test_a_run_made_with_a_profile_gives_way() -> None:
    smoke = after(plan("seeds=1", "training.gamma=0.9"), *[FINISHED] * 4)
    smoke.profile = "smoke"
    continuation = continue_run(plan("seeds=1"), smoke)
    assert len(continuation.superseded) == 4
    assert continuation.lost == []
    assert continuation.manifest.profile == ""


def test_trials_that_asha_stopped_run_again_under_another_scheduler() -> None:
    asha = "scheduler={type: asha, grace: 1k}"
    before = after(plan("seeds=1", asha), FINISHED, *[STOPPED] * 3)
    assert continue_run(plan("seeds=1", asha), before).waiting == []
    assert len(continue_run(plan("seeds=1"), before).waiting) == 3


@pytest.mark.parametrize(
    "override",
    [
        "description=x",
        "checkpoints.every=1k",
        "evaluation.games=20",
        "resources.max_concurrent=2",
        "resources.gpus_per_learner=0",
        "resources.cpus_for_main_process=1",
        "network.vf_share_layers=false",
        "training.clip_param=0.2",
    ],
)
def test_what_training_does_not_depend_on_changes_nothing(override: str) -> None:
    before = after(plan(), *[FINISHED] * 8)
    assert continue_run(plan(override), before).waiting == []


def test_writing_a_default_changes_nothing() -> None:
    def breakout(*overrides: str) -> Plan:
        sweep = load("breakout_lr.yaml", overrides=list(overrides), root=ROOT).sweep
        return make(sweep, Machine.of(2, 0))

    before = after(breakout(), *[FINISHED] * 9)
    assert continue_run(breakout("env.frame_skip=4", "env.noop_max=30"), before).waiting == []
    assert len(continue_run(breakout("env.frame_skip=3"), before).waiting) == 9
