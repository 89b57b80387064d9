"""`exploration:`: how actions are drawn while training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core.columns import Columns

from rlsweep.plan import Machine, make
from rlsweep.rl.algorithms import build_config
from rlsweep.spec import load

SPEC = """
version: 1
name: exploration
algorithm: {algorithm}
env: {{id: {env}}}
network: {{name: mlp}}
exploration: {exploration}
objective: {{metric: score, goal: maximize}}
resources: {{env_runners: 0, envs_per_env_runner: 4}}
stop: {{env_steps: 10k}}
"""
RANDOM = 400


@pytest.fixture
def built(machine: Machine, write_spec: Any) -> Any:
    @contextmanager
    def build(**values: Any) -> Iterator[Algorithm]:
        text = SPEC.format(**{"env": "CartPole-v1", **values})
        trial = make(load(write_spec(text)).sweep, machine).example
        algorithm = build_config(trial.sweep, trial.seed, trial.resources).build_algo()
        try:
            yield algorithm
        finally:
            algorithm.stop()

    return build


def prefer(algorithm: Algorithm, action: int) -> None:
    """Let the network choose one action in any state."""
    module = algorithm.env_runner.module
    with torch.no_grad():
        for parameter in module.network.parameters():
            parameter.zero_()
        heads = [value for value in module.network.parameters() if value.shape == (2,)]
        heads[-1][action] = 50.0


@pytest.mark.parametrize("algorithm", ["ppo", "appo", "dqn"])
def test_the_first_env_steps_are_random(built: Any, algorithm: str) -> None:
    with built(algorithm=algorithm, exploration=f"{{random_env_steps: {RANDOM}}}") as running:
        prefer(running, 1)
        running.env_runner.module.epsilon_schedule = _NoEpsilon()
        first = running.env_runner.sample(num_timesteps=RANDOM, explore=True)
        actions = np.concatenate([episode.get_actions() for episode in first])
        assert 0.4 < actions.mean() < 0.6, "either way"
        if algorithm != "dqn":
            logp = np.concatenate([episode.get_extra_model_outputs(Columns.ACTION_LOGP) for episode in first])
            assert logp == pytest.approx(np.log(0.5)), "of the policy that has acted"
        then = running.env_runner.sample(num_timesteps=40, explore=True)
        assert np.concatenate([episode.get_actions()[-5:] for episode in then]).mean() == 1
        played = running.env_runner.sample(num_timesteps=40, explore=False, force_reset=True)
        assert np.concatenate([episode.get_actions()[-5:] for episode in played]).mean() == 1


class _NoEpsilon:
    """In the place of DQN's schedule; the others have none."""

    def update(self, t: int) -> None:
        pass

    def get_current_value(self) -> float:
        return 0.0


def test_continuous_actions_are_random_too(built: Any) -> None:
    with built(algorithm="ppo", env="Pendulum-v1", exploration="{random_env_steps: 400}") as running:
        episodes = running.env_runner.sample(num_timesteps=400, explore=True)
        inputs = np.concatenate(
            [episode.get_extra_model_outputs(Columns.ACTION_DIST_INPUTS) for episode in episodes]
        )
        assert not inputs.any(), "mean 0, logarithm of the deviation 0"
        assert np.concatenate([episode.get_actions() for episode in episodes]).std() == pytest.approx(1, 0.2)
        assert np.isfinite(running.train()["learners"]["default_policy"]["total_loss"]), "it learns from them"


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 1 / (1 + np.exp(-1.0))), (0.1, 1.0)])
def test_actions_are_drawn_by_their_values(built: Any, temperature: float, share: float) -> None:
    """Boltzmann: with Q = (0, 1) the second has the probability 1 / (1 + exp(-1 / temperature))."""
    with built(algorithm="dqn", exploration=f"{{softmax_temperature: {temperature}}}") as running:
        module = running.env_runner.module
        module.network.decide = lambda observations: torch.tensor([0.0, 1.0]).expand(len(observations), 2)
        observations = {Columns.OBS: torch.zeros(4000, 4)}
        assert module.epsilon_schedule.get_current_value() == 0, "softmax explores alone"
        explored = module.forward_exploration(observations, t=0)[Columns.ACTIONS]
        assert float(explored.float().mean()) == pytest.approx(share, abs=0.03)
        best = module.forward_inference(observations)[Columns.ACTIONS]
        assert bool((best == 1).all()), "played without"
