"""Env-runner actors over trials: what a trial with taken-over env runners does, a fresh one does too."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from rlsweep.plan import Machine, PlannedTrial, make
from rlsweep.rl.takeover import ReusingAlgorithm
from rlsweep.run.trial import Trial, trainable_for
from rlsweep.spec import load
from rlsweep.store import rows

SPEC = """
version: 1
name: reuse
algorithm: {algorithm}
env: {{id: ALE/Breakout-v5, sticky_actions: 0.25}}
training: {{{training}}}
network: {{name: nature_cnn}}
search: {{method: grid, parameters: {{training.gamma: {{values: [0.9, 0.95]}}}}}}
seeds: 2
objective: {{metric: score, goal: maximize}}
stop: {{env_steps: 1M}}
resources: {{env_runners: {env_runners}, envs_per_env_runner: {envs}, cpus_for_main_process: 1}}
"""
PPO = "train_batch_size_per_learner: 128, minibatch_size: 64, num_epochs: 2"
pytestmark = pytest.mark.usefixtures("machine")
TIMES = (
    "seconds",
    "steps_per_second",
    "timers/",
    "date",
    "timestamp",
    "time_",
    "pid",
    "hostname",
    "node_ip",
)


class Process:
    """One trial process, as Tune reuses it; its own CPU is not taken from Ray's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trial: Trial

    def planned(
        self, index: int, *, algorithm: str = "ppo", training: str = PPO, env_runners: int = 1, envs: int = 2
    ) -> tuple[type[Trial], PlannedTrial]:
        path = self.folder / "spec.yaml"
        path.write_text(
            SPEC.format(algorithm=algorithm, training=training, env_runners=env_runners, envs=envs)
        )
        plan = make(load(path).sweep, Machine.of(cpus=8, gpus=0))
        return trainable_for(plan), plan.trials[index]

    def begin(self, index: int, **settings: Any) -> None:
        trial_class, planned = self.planned(index, **settings)
        self.trial = trial_class(planned.tune_config)

    def go_on(self, index: int, **settings: Any) -> None:
        trial_class, planned = self.planned(index, **settings)
        type(self.trial).plan = trial_class.plan
        assert self.trial.reset(planned.tune_config)

    @property
    def algorithm(self) -> ReusingAlgorithm:
        return self.trial._algorithm

    def actors(self) -> list[str]:
        return self.ask(lambda _: ray.get_runtime_context().get_actor_id())

    def ask(self, question: Any) -> list[Any]:
        return list(self.algorithm.env_runner_group.foreach_env_runner(question, local_env_runner=False))

    def rows(self, count: int = 3) -> list[dict[str, Any]]:
        return [
            {key: repr(value) for key, value in self.trial.train().items() if not key.startswith(TIMES)}
            for _ in range(count)
        ]


@pytest.fixture
def process(tmp_path: Path) -> Any:
    made = Process(tmp_path)
    yield made
    made.trial.cleanup()


def test_a_trial_with_the_env_runners_of_another_is_as_a_fresh_one(process: Process) -> None:
    process.begin(3)
    expected = process.rows()
    process.trial.cleanup()

    process.begin(0, envs=3)
    process.rows(2)
    before = process.actors()
    process.go_on(3)
    assert process.actors() == before
    assert process.rows() == expected
    process.go_on(0)
    assert process.actors() == before
    assert process.rows() != expected

    # All that was built holds what was asked for.
    asked = process.algorithm.config
    assert asked.num_env_runners == 1
    assert asked.gamma == 0.9
    local = process.algorithm.env_runner
    assert local.env is None
    learners = process.algorithm.learner_group.foreach_learner(lambda learner: learner.config)
    held = [local.config, *(result.get() for result in learners), *process.ask(lambda runner: runner.config)]
    for config in [*held, process.algorithm.learner_group.config, process.algorithm.evaluation_config]:
        assert config.env_config.keys() == asked.env_config.keys()
        assert config.gamma == 0.9
    assert [config.num_env_runners for config in held] == [1, 1, 1]
    assert process.ask(lambda _: torch.get_num_threads()) == [1]


def test_env_runners_that_do_not_fit_or_are_dead_are_replaced(process: Process) -> None:
    process.begin(0)
    process.rows(1)
    first = process.actors()
    process.go_on(0, env_runners=2)
    assert len(set(process.actors()) - set(first)) == 2
    process.rows(1)

    # One dies while its trial trains: Ray restarts it as the one that it was created as.
    process.go_on(3, env_runners=2)
    pair = process.actors()
    (victim, _) = process.ask(lambda _: ray.get_runtime_context().current_actor)
    ray.kill(victim, no_restart=False)
    deadline = time.monotonic() + 60
    while len(process.rows(1)) and len(process.actors()) < 2:
        assert time.monotonic() < deadline
    assert process.actors() == pair
    assert process.ask(lambda runner: (runner.config.gamma, runner._seed)) == [(0.95, 2), (0.95, 3)]

    # One is dead when the next trial begins.
    ray.kill(victim)
    process.go_on(1, env_runners=2)
    assert not set(process.actors()) & set(pair)
    assert process.rows(1)[0][rows.ENV_STEPS] == repr(128)


@pytest.mark.parametrize(
    ("algorithm", "training"),
    [
        ("impala", "train_batch_size_per_learner: 100"),
        ("dqn", "num_steps_sampled_before_learning_starts: 10_000, replay_buffer_config: {capacity: 500}"),
    ],
)
def test_other_algorithms_take_over_too(process: Process, algorithm: str, training: str) -> None:
    settings = {"algorithm": algorithm, "training": training}
    process.begin(0, **settings)
    process.rows(1)
    before = process.actors()
    process.go_on(3, **settings)
    assert process.actors() == before
    while process.trial._progress.env_steps == 0:
        process.rows(1)
    assert process.ask(lambda runner: (runner.config.gamma, runner.worker_index)) == [(0.95, 1)]
