from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from rlsweep.plan import Machine, make
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.sampling import FragmentEnvRunner
from rlsweep.spec import Sweep

PPO = {"lr": 3e-4, "train_batch_size_per_learner": 64, "minibatch_size": 32, "num_epochs": 1}
BREAKOUT = {"id": "ALE/Breakout-v5", "protocol": "dqn"}


def runner(
    cls: type[SingleAgentEnvRunner],
    env: dict[str, Any],
    *,
    num_envs: int = 4,
    network: str = "nature_cnn",
    seed: int = 3,
    lookback: int = 1,
) -> SingleAgentEnvRunner:
    sweep = Sweep.parse(
        {
            "version": 1,
            "name": "sampling",
            "algorithm": "ppo",
            "env": env,
            "training": PPO,
            "network": {"name": network},
            "resources": {"envs_per_env_runner": num_envs},
            "objective": {"metric": "score", "goal": "maximize"},
            "stop": {"env_steps": 1000},
        }
    )
    trial = make(sweep, Machine.of(2, 0)).example
    config = build_config(trial.sweep, seed, trial.resources)
    config.env_runners(env_runner_cls=cls, episode_lookback_horizon=lookback)
    made = cls(config=config, worker_index=0, num_workers=0)
    torch.manual_seed(0)
    for parameter in made.module.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    torch.manual_seed(seed)
    return made


def same(stock: SingleAgentEpisode, ours: SingleAgentEpisode) -> None:
    assert (stock.t_started, stock.t) == (ours.t_started, ours.t)
    assert (stock.is_terminated, stock.is_truncated) == (ours.is_terminated, ours.is_truncated)
    assert ours.is_numpy
    assert stock.observations.data.dtype == ours.observations.data.dtype
    for name in ("observations", "actions", "rewards"):
        theirs, mine = getattr(stock, name), getattr(ours, name)
        assert theirs.lookback == mine.lookback, name
        np.testing.assert_array_equal(theirs.data, mine.data, err_msg=name)
    assert set(stock.extra_model_outputs) == set(ours.extra_model_outputs)
    for name, buffer in stock.extra_model_outputs.items():
        np.testing.assert_array_equal(buffer.data, ours.extra_model_outputs[name].data, err_msg=name)


@pytest.mark.parametrize(
    ("env", "num_envs", "network", "env_steps", "lookback"),
    [
        (BREAKOUT, 4, "nature_cnn", [300, 7, 64, 500], 1),
        (BREAKOUT, 3, "nature_cnn", [2, 3, 1, 9, 200, 2, 300], 3),
        (
            {**BREAKOUT, "grayscale": False, "resolution": [42, 36], "max_frames": 80},
            3,
            "nature_cnn",
            [100],
            1,
        ),
        ({**BREAKOUT, "frame_stack": 1, "max_frames": 60}, 2, "nature_cnn", [80, 40], 2),
        ({"id": "CartPole-v1"}, 5, "mlp", [64, 1, 200, 3], 0),
        ({"id": "Pendulum-v1"}, 2, "mlp", [150, 300], 1),
    ],
)
def test_the_transitions_are_those_of_the_stock_runner(
    env: dict[str, Any], num_envs: int, network: str, env_steps: list[int], lookback: int
) -> None:
    """Two runners with the same seeds: the same episodes, chunk by chunk, bit for bit."""
    sampled = []
    for cls in (SingleAgentEnvRunner, FragmentEnvRunner):
        one = runner(cls, env, num_envs=num_envs, network=network, lookback=lookback)
        sampled.append([one.sample(num_timesteps=count) for count in env_steps])
        metrics = one.get_metrics()
        sampled[-1].append([metrics["episode_len_mean"].peek(), metrics["num_env_steps_sampled"].peek()])
        one.stop()
    stock, ours = sampled
    assert stock.pop() == pytest.approx(ours.pop())
    names: dict[str, str] = {}
    for theirs, mine in zip(stock, ours, strict=True):
        assert len(theirs) == len(mine)
        for episode, own in zip(theirs, mine, strict=True):
            same(episode, own)
            assert names.setdefault(episode.id_, own.id_) == own.id_  # chunks of one episode keep its id


def test_values_are_noted_as_the_learner_would_compute_them() -> None:
    one = runner(FragmentEnvRunner, BREAKOUT, num_envs=3)
    for episode in one.sample(num_timesteps=200):
        observations = torch.from_numpy(episode.get_observations(slice(0, len(episode))).copy())
        with torch.no_grad():
            expected = one.module.compute_values({Columns.OBS: observations}).numpy()
        noted = episode.get_extra_model_outputs(Columns.VF_PREDS, slice(0, len(episode)))
        np.testing.assert_allclose(noted, expected, rtol=2e-2, atol=2e-2)  # bf16, in batches of other sizes
    one.stop()


def test_stacked_frames_travel_once() -> None:
    """Pickled episodes have the same observations in a quarter of the bytes, game starts included."""
    one = runner(FragmentEnvRunner, {**BREAKOUT, "max_frames": 400}, num_envs=2)
    episodes = one.sample(num_timesteps=400)
    frames = sum(len(episode) + 4 for episode in episodes)
    spaces = 4 * 84 * 84 * 4  # four arrays of bounds, once for the whole sample
    pickled = pickle.dumps(episodes, protocol=5)
    assert len(pickled) < frames * 84 * 84 + spaces + 500 * frames
    for episode, other in zip(episodes, pickle.loads(pickled), strict=True):
        same(episode, other)
    one.stop()
