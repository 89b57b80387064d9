"""Trials that fail, each in its way: which class that is, how often they go on, and what is said of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dying_trial import Dying
from mlflow.tracking import MlflowClient

from analysis.history import read_run
from rlsweep.plan import Machine, Plan, make
from rlsweep.run.launch import Launched, launch
from rlsweep.run.session import ray_session
from rlsweep.run.trial import MakeTrainable, trainable_for
from rlsweep.spec import load
from rlsweep.store.failures import Failure, read_failures
from rlsweep.store.layout import RunLayout, Storage

SPEC = """
version: 1
name: failing
algorithm: ppo
env: {id: "crashing_env:Crashing-v0"}
training: {train_batch_size_per_learner: 64, minibatch_size: 32, num_epochs: 1}
network: {name: mlp}
objective: {metric: score, goal: maximize}
resources: {envs_per_env_runner: 1}
search: {method: grid}
checkpoints: {every: 128}
failures: {backoff: 0.1s}
stop: {env_steps: 640}
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with pytest.MonkeyPatch.context() as patch:  # trials import the environment by name
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        with ray_session() as found:
            yield found


class Start:
    """Runs the spec with other settings."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self._machine, self._folder = machine, folder
        self.storage = Storage(folder / "runs")
        self.layout = self.storage.run("failing")

    def __call__(
        self,
        *overrides: str,
        retry_failed: bool = False,
        make_trainable: MakeTrainable = trainable_for,
    ) -> Launched:
        path = self._folder / "failing.yaml"
        path.write_text(SPEC)
        plan = make(load(path, overrides=list(overrides)).sweep, self._machine)
        return launch(plan, self.storage, retry_failed=retry_failed, make_trainable=make_trainable)

    def failures(self, launched: Launched) -> list[list[Failure]]:
        return [read_failures(self.layout.trial(record.id)) for record in launched.manifest.trials]

    def tags(self) -> list[dict[str, str]]:
        client = MlflowClient(self.storage.tracking_uri)
        experiment = client.get_experiment_by_name("failing")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
        return [run.data.tags for run in runs if "trial_id" in run.data.tags]


@pytest.fixture
def start(machine: Machine, tmp_path: Path) -> Start:
    return Start(machine, tmp_path)


def kwargs(**more: Any) -> str:
    return "env.kwargs={" + ", ".join(f"{key}: {value}" for key, value in more.items()) + "}"


def test_an_environment_that_raises_again_and_again_is_got_past_where_checkpoints_are(start: Start) -> None:
    launched = start(kwargs(crash_at=200), "failures.max_retries=1")  # a checkpoint comes before
    assert [record.status for record in launched.manifest.trials] == ["finished"]
    [failures] = start.failures(launched)
    assert {(one.kind, one.retry, one.max_retries) for one in failures} == {("environment", 1, 1)}
    assert len(failures) >= 2, "what was got past does not count against it"
    assert failures[0].reason == "ValueError: the environment broke on purpose"
    assert [one.env_steps for one in failures] == sorted(one.env_steps for one in failures)
    [trial] = read_run(start.layout).trials
    assert trial.rows["env_steps"].is_monotonic_increasing
    [tags] = start.tags()
    assert tags["rlsweep.failures"] == f"environment {len(failures)}"
    assert "the environment broke on purpose" in tags["rlsweep.error"]
    assert tags["rlsweep.status"] == "finished"


def test_one_that_never_gets_to_a_checkpoint_fails_and_the_next_trial_does_not_wait(start: Start) -> None:
    grid = "search.parameters={env.kwargs.crash_at: {values: [100, 100_000]}}"
    launched = start(
        grid,
        "failures.backoff=8s",
        "failures.max_retries={environment: 1}",
        "resources.cpus_for_main_process=2",
    )
    statuses = {record.values["env.kwargs.crash_at"]: record.status for record in launched.manifest.trials}
    assert statuses == {100: "failed", 100_000: "finished"}
    failures, none = start.failures(launched)
    assert none == []
    assert [(one.retry, one.seconds_to_wait) for one in failures] == [(1, 8), (0, 0)]
    times = [one.timestamp for one in failures]
    assert times[1] - times[0] >= 8
    other = read_run(start.layout).trials[1].rows["timestamp"]
    assert other.iloc[0] < times[1], "it began while the first one waited"
    failed = launched.manifest.trials[0].id
    [status] = [tags["rlsweep.status"] for tags in start.tags() if tags["trial_id"] == failed]
    assert status == "failed (environment, tried again 1 times): ValueError: the environment broke on purpose"
    trace = (start.layout.trial(failed) / RunLayout.ERROR_TXT).read_text()
    assert trace.count("Failure # ") == 2


@pytest.mark.parametrize(
    ("how", "kind", "share", "reason"),
    [
        ("kill", "preemption", 1.0, "its worker process has died"),
        ("memory", "out_of_memory", 2.0, "MemoryError"),
        pytest.param("hang", "stall", 1.0, "no row for", marks=pytest.mark.chaos),
    ],
)
def test_a_trial_goes_on_by_the_class_of_its_failure(
    how: str, kind: str, share: float, reason: str, start: Start, tmp_path: Path
) -> None:
    waits = ["failures.stall=20s" if how == "hang" else "failures.stall=10min", "failures.backoff=8s"]
    launched = start(kwargs(crash_at=200, how=how, once=tmp_path / "failed"), *waits)
    assert [record.status for record in launched.manifest.trials] == ["finished"]
    [[failure]] = start.failures(launched)
    assert (failure.kind, failure.retry, failure.share) == (kind, 1, share)
    assert reason in failure.reason
    [trial] = read_run(start.layout).trials
    later = trial.rows.loc[trial.rows["timestamp"] > failure.timestamp, "timestamp"]
    assert later.iloc[0] >= int(failure.timestamp + 8), "it waited, though nobody else ran"
    repeated = trial.skipped.superseded * 64
    assert repeated <= 128, "it went on from its last checkpoint"


def test_a_mistake_in_code_is_not_tried_again_until_somebody_says_so(start: Start) -> None:
    broken = "callbacks=[crashing_callback:Broken]"
    sound = kwargs(crash_at=100_000)
    launched = start(broken, sound)
    assert [record.status for record in launched.manifest.trials] == ["failed"]
    [[failure]] = start.failures(launched)
    assert (failure.kind, failure.retry, failure.max_retries) == ("error", 0, 0)
    assert failure.reason == "RuntimeError: a mistake in a callback"
    assert [one.kind for one in start.failures(start(broken, sound))[0]] == ["error"], "not tried again"
    again = start(broken, sound, retry_failed=True)
    assert [one.kind for one in start.failures(again)[0]] == ["error", "error"]


def test_a_sweep_halts_when_too_many_trials_have_failed(start: Start) -> None:
    launched = start(
        "search.parameters={env.kwargs.crash_at: {values: [10, 11, 100_000, 100_001]}}",
        *("failures.max_retries=0", "failures.max_failed_trials=1", "resources.max_concurrent=1"),
    )
    assert launched.limit == "failures.max_failed_trials: 2 have failed, 1 may"
    statuses = [record.status for record in launched.manifest.trials]
    assert statuses[:2] == ["failed", "failed"]
    assert "pending" in statuses


@pytest.mark.parametrize(
    ("how", "kind", "reason"),
    [
        ("kill", "preemption", "its worker process has died"),
        pytest.param("hang", "stall", "no row for", marks=pytest.mark.chaos),
        ("raise", "error", "ValueError: the environment broke on purpose"),
    ],
)
@pytest.mark.parametrize("values", ["[0]", "[100_000, 0]"], ids=["in a new process", "in that of another"])
def test_a_trial_goes_on_that_fails_while_it_is_set_up(
    values: str, how: str, kind: str, reason: str, start: Start, tmp_path: Path
) -> None:
    launched = start(
        f"search.parameters={{env.kwargs.crash_at: {{values: {values}}}}}",
        kwargs(how=how, once=tmp_path / "failed"),
        "resources.cpus_for_main_process=2",
        "failures.max_retries=1",
        "failures.stall=60s" if how == "hang" else "failures.stall=10min",
    )
    assert {record.status for record in launched.manifest.trials} == {"finished"}
    *others, [failure] = start.failures(launched)
    assert not any(others)
    assert (failure.kind, failure.retry, failure.env_steps) == (kind, 1, 0)
    assert reason in failure.reason


def test_a_trial_goes_on_whose_process_dies_while_tune_hands_it_over(start: Start, tmp_path: Path) -> None:
    def dying(plan: Plan) -> type[Dying]:
        return type("Trial", (Dying,), {"plan": plan, "once": str(tmp_path / "died")})

    values = "search.parameters={env.kwargs.crash_at: {values: [100_001, 100_002, 100_003]}}"
    launched = start(values, "resources.cpus_for_main_process=2", make_trainable=dying)
    assert {record.status for record in launched.manifest.trials} == {"finished"}
    [failure] = [failure for failures in start.failures(launched) for failure in failures]
    assert (failure.kind, failure.retry) == ("preemption", 1)
