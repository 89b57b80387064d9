"""DQN's loss and gradients on a fixed batch are those of RLlib, from the raw steps to the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from rlsweep.rl.dqn import ReplayDQNConfig
from rlsweep.rl.modules import NETWORK
from rlsweep.rl.prioritized_replay import PrioritizedReplay
from rlsweep.rl.q_module import QModule

OBSERVATIONS = gymnasium.spaces.Box(-5, 5, (4,), np.float32)
ACTIONS = gymnasium.spaces.Discrete(3)
HIDDENS = [16, 8]
GAMMA = 0.9
TIMESTEPS = {NUM_ENV_STEPS_SAMPLED_LIFETIME: 1}


@dataclass
class Step:
    """One transition with what its n-step return needs."""

    before: np.ndarray
    action: int
    reward: float
    after: np.ndarray
    terminated: bool
    truncated: bool


def episodes_of_steps(rng: np.random.Generator) -> list[list[Step]]:
    episodes = []
    for length in (3, 9, 1, 14, 6):
        observations = rng.normal(size=(length + 1, 4)).astype(np.float32)
        ends_by_truncation = length % 2 == 0
        steps = [
            Step(
                observations[index],
                int(rng.integers(3)),
                float(rng.normal()),
                observations[index + 1],
                terminated=index == length - 1 and not ends_by_truncation,
                truncated=index == length - 1 and ends_by_truncation,
            )
            for index in range(length)
        ]
        episodes.append(steps)
    return episodes


def as_episode(steps: list[Step]) -> SingleAgentEpisode:
    return SingleAgentEpisode(
        observations=[steps[0].before, *(step.after for step in steps)],
        actions=[step.action for step in steps],
        rewards=[step.reward for step in steps],
        infos=[{}] * (len(steps) + 1),
        terminated=steps[-1].terminated,
        truncated=steps[-1].truncated,
        observation_space=OBSERVATIONS,
        action_space=ACTIONS,
        len_lookback_buffer=0,
    ).to_numpy()


def as_rllib_samples(batch: SampleBatch, episodes: list[list[Step]], n_step: int) -> list[SingleAgentEpisode]:
    """The one-step episodes that RLlib's buffer would make of the same items, from the raw steps."""
    found = []
    for observation, weight in zip(batch["obs"], batch["weights"], strict=True):
        steps, index = next(
            (steps, index)
            for steps in episodes
            for index, step in enumerate(steps)
            if np.array_equal(step.before, observation)
        )
        taken = steps[index : index + n_step]
        found.append(
            SingleAgentEpisode(
                observations=[taken[0].before, taken[-1].after],
                actions=[taken[0].action],
                rewards=[sum(GAMMA**power * step.reward for power, step in enumerate(taken))],
                infos=[{}, {}],
                terminated=taken[-1].terminated,
                truncated=taken[-1].truncated,
                extra_model_outputs={"weights": [float(weight)], "n_step": [len(taken)]},
                observation_space=OBSERVATIONS,
                action_space=ACTIONS,
                len_lookback_buffer=0,
            ).to_numpy()
        )
    return found


def learner_of(config: DQNConfig, settings: dict[str, Any], spec: RLModuleSpec | None) -> Any:
    config.training(gamma=GAMMA, grad_clip=None, v_min=-3.0, v_max=4.0, **settings)
    if spec is None:
        model = DefaultModelConfig(fcnet_hiddens=HIDDENS, fcnet_activation="tanh", head_fcnet_hiddens=[])
        config.rl_module(model_config=model)
    else:
        network = {"name": "mlp", "fcnet_hiddens": HIDDENS, "fcnet_activation": "tanh"}
        config.rl_module(rl_module_spec=spec, model_config={NETWORK: network})
    learner = config.build_learner(spaces={DEFAULT_MODULE_ID: (OBSERVATIONS, ACTIONS)})
    learner.build()
    return learner


def parameters(learner: Any) -> list[torch.nn.Parameter]:
    """Torso, advantages, values, then the same of the target network, in either's module."""
    return list(learner.module[DEFAULT_MODULE_ID].parameters())


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("double_q", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {"dueling": False, "num_atoms": 1},
        {"dueling": False, "num_atoms": 1, "td_error_loss_fn": "mse"},
        {"dueling": True, "num_atoms": 1},
        {"dueling": False, "num_atoms": 11},
    ],
    ids=str,
)
def test_loss_and_gradients_are_rllibs(settings: dict[str, Any], double_q: bool, n_step: int) -> None:
    """Dueling with atoms is left out: RLlib centres advantages over the atoms, we over the actions, as Wang
    et al. 2016 do."""
    torch.manual_seed(0)
    settings = settings | {"double_q": double_q, "n_step": n_step}
    theirs = learner_of(DQNConfig(), settings, None)
    ours = learner_of(ReplayDQNConfig(), settings, RLModuleSpec(module_class=QModule))
    with torch.no_grad():
        for mine, other in zip(parameters(ours), parameters(theirs), strict=True):
            other.normal_(std=0.5)  # the target network too, which starts as a copy
            mine.copy_(other)

    episodes = episodes_of_steps(np.random.default_rng(0))
    replay = PrioritizedReplay(1000, alpha=0.6, seed=0)
    replay.add([as_episode(steps) for steps in episodes])
    replay.sample(60)
    replay.update_priorities(np.linspace(0.1, 3.0, 60))
    batch = replay.sample(64, n_step=n_step, gamma=GAMMA, beta=0.4)
    assert len(np.unique(batch["weights"])) > 10
    assert batch["truncateds"].any()
    assert batch["terminateds"].any()

    samples = as_rllib_samples(batch, episodes, n_step)
    expected = theirs.update(episodes=samples, timesteps=TIMESTEPS)[DEFAULT_MODULE_ID]
    ready = MultiAgentBatch({DEFAULT_MODULE_ID: batch}, env_steps=len(batch))
    got = ours.update(batch=ready, timesteps=TIMESTEPS)[DEFAULT_MODULE_ID]

    for name in ("qf_loss", "total_loss", "qf_mean", "td_error_mean"):
        assert float(got[name].peek()) == pytest.approx(float(expected[name].peek()), rel=1e-5, abs=1e-5)
    np.testing.assert_allclose(
        np.ravel(got["td_error"].peek()), np.ravel(expected["td_error"].peek()), rtol=1e-5, atol=1e-5
    )
    gradients = [parameter.grad for parameter in parameters(ours)]
    assert sum(gradient is not None for gradient in gradients) == len(gradients) // 2
    for mine, other in zip(parameters(ours), parameters(theirs), strict=True):
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-5)
            assert float(mine.grad.abs().max()) > 1e-4
