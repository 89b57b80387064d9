"""Env-runner actors over trials: what a trial with taken-over env runners does, a fresh one does too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from callbacks.worker.game_scores import GameScores
from rlsweep.plan import Machine, make
from rlsweep.run.trial import Trial, trainable_for
from rlsweep.spec import load

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
resources:
  {{env_runners: 1, envs_per_env_runner: {envs}, cpus_per_env_runner: {cpus}, cpus_for_main_process: 1}}
"""
PPO = "train_batch_size_per_learner: 128, minibatch_size: 64, num_epochs: 2"
TIMES = ("seconds", "steps_per_second", "timers/", "date", "timestamp", "time_")
"""What no two trials have in common."""


class Process:
    """One trial process, as Tune reuses it; its own CPU is not taken from Ray's."""

    def __init__(self, folder: Path) -> None:
        self._spec = folder / "spec.yaml"
        self.trial: Trial | None = None

    def run(
        self, index: int, *, algorithm: str = "ppo", training: str = PPO, envs: int = 2, cpus: float = 1
    ) -> None:
        """Be the trial of the plan with this index."""
        self._spec.write_text(SPEC.format(algorithm=algorithm, training=training, envs=envs, cpus=cpus))
        plan = make(load(self._spec).sweep, Machine.of(cpus=8, gpus=0))
        planned = plan.trials[index].tune_config
        if self.trial is None:
            self.trial = trainable_for(plan)(planned)
        else:
            type(self.trial).plan = plan
            assert self.trial.reset(planned)
        self.trial.begin()

    @property
    def algorithm(self) -> Any:
        assert self.trial is not None
        return self.trial._algorithm

    def actors(self) -> list[str]:
        return self.ask(lambda _: ray.get_runtime_context().get_actor_id())

    def handle(self) -> Any:
        return self.ask(lambda _: ray.get_runtime_context().current_actor)[0]

    def ask(self, question: Any) -> list[Any]:
        return list(self.algorithm.env_runner_group.foreach_env_runner(question, local_env_runner=False))

    def rows(self, count: int) -> list[dict[str, str]]:
        assert self.trial is not None
        rows = [self.trial.train() for _ in range(count)]
        return [{key: repr(value) for key, value in row.items() if not key.startswith(TIMES)} for row in rows]


@pytest.fixture(scope="module")
def process(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    assert machine.cpus >= 2
    made = Process(tmp_path_factory.mktemp("reuse"))
    yield made
    if made.trial is not None:
        made.trial.cleanup()


def test_a_trial_with_the_env_runners_of_another_is_as_a_fresh_one(process: Process) -> None:
    process.run(3)
    actors, expected = process.actors(), process.rows(3)
    process.run(0, envs=3)
    assert process.rows(2) != expected[:2]
    process.run(3)
    assert process.rows(3) == expected
    assert process.actors() == actors


def test_all_that_was_built_holds_what_was_asked_for(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def on_algorithm_init(_: GameScores, *, algorithm: Any, metrics_logger: Any) -> None:
        group = algorithm.env_runner_group
        found.append((algorithm.config.num_env_runners, group.num_remote_env_runners(), metrics_logger))

    process.run(3)
    monkeypatch.setattr(GameScores, "on_algorithm_init", on_algorithm_init)
    process.run(0)
    algorithm = process.algorithm
    assert found == [(1, 1, algorithm.metrics)]
    assert [type(callback) for callback in algorithm.callbacks] == [GameScores]
    assert algorithm.env_runner.env is None
    runner_config = process.ask(lambda runner: runner.config)
    learners = algorithm.learner_group.foreach_learner(lambda learner: learner.config)
    configs = [algorithm.config, algorithm.env_runner.config, algorithm.learner_group.config, *runner_config]
    for config in [*configs, *(result.get() for result in learners)]:
        assert (config.gamma, config.num_env_runners) == (0.9, 1)
        assert config.env_config.keys() == {"env", "num_threads"}
    assert algorithm.evaluation_config.env_config.keys() == {"env", "num_threads"}
    assert process.ask(lambda _: torch.get_num_threads()) == [1]


@pytest.mark.parametrize(
    ("algorithm", "training"),
    [
        ("impala", "train_batch_size_per_learner: 100"),
        ("dqn", "num_steps_sampled_before_learning_starts: 10_000, replay_buffer_config: {capacity: 500}"),
    ],
)
def test_other_algorithms_take_over_too(process: Process, algorithm: str, training: str) -> None:
    process.run(0)
    actors = process.actors()
    process.run(3, algorithm=algorithm, training=training, envs=8)
    assert process.actors() == actors
    process.rows(1)
    assert process.ask(lambda runner: (runner.config.gamma, runner.num_envs)) == [(0.95, 8)]


def test_an_env_runner_that_dies_comes_back_as_its_trials(process: Process) -> None:
    """Ray restarts an actor as what it was created as, which was another trial's."""
    process.run(1)
    process.run(2)
    actors = process.actors()
    ray.kill(process.handle(), no_restart=False)
    deadline = time.monotonic() + 300
    while process.ask(lambda _: ray.get_runtime_context().was_current_actor_reconstructed) != [True]:
        assert time.monotonic() < deadline
        process.rows(1)
    assert process.actors() == actors
    assert process.ask(lambda runner: (runner.config.gamma, runner._seed)) == [(0.9, 2)]
    process.rows(1)


def test_env_runners_that_are_dead_or_do_not_fit_are_replaced(process: Process) -> None:
    process.run(1)
    before = process.actors()
    ray.kill(process.handle())
    process.run(0)
    after = process.actors()
    assert len(after) == 1
    assert after != before
    process.run(1, cpus=0.5)
    assert process.actors() != after
    # A step of both games is one env step less where one of them is reset.
    assert process.rows(1)[0]["env_steps"] in ("128", "129")
