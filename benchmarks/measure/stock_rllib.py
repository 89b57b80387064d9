"""RLlib as its Atari examples set it up, with the network and the hyperparameters of our specs.

`wrap_atari_for_new_api_stack`, the frame-stacking connectors, the default CNN module with the Nature CNN's
filters. From RLlib's `examples/algorithms/{ppo,impala,appo,dqn}`, which also ask for rendered frames
(`render_mode="rgb_array"`) that nobody looks at; that is left out.
"""

from __future__ import annotations

import argparse
from typing import Any

import ale_py
import gymnasium
import numpy as np
import ray
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.env_to_module.frame_stacking import FrameStackingEnvToModule
from ray.rllib.connectors.learner.frame_stacking import FrameStackingLearner
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.env.wrappers.atari_wrappers import wrap_atari_for_new_api_stack
from ray.tune.registry import register_env

from benchmarks.measure.rllib import ASYNCHRONOUS, time_training
from benchmarks.measure.stopwatch import cores
from benchmarks.measure.work import GAME, SPECS, training_arguments
from rlsweep.run.session import quiet_libraries

CONFIGS = {"ppo": PPOConfig, "impala": IMPALAConfig, "appo": APPOConfig, "dqn": DQNConfig}

MODULES = {
    # As an RLlib user writes the Nature CNN: padded convolutions, and the 512 features in front of each head.
    "default": DefaultModelConfig(
        conv_filters=[[32, 8, 4], [64, 4, 2], [64, 3, 1]],
        conv_activation="relu",
        head_fcnet_hiddens=[512],
        head_fcnet_activation="relu",
        vf_share_layers=True,
    ),
    # The very same layers: no padding, and the shared 512 features as a convolution over all of the 7x7 map,
    # because the default module has no dense layer that policy and value share.
    "same-layers": DefaultModelConfig(
        conv_filters=[[32, 8, 4, "valid"], [64, 4, 2, "valid"], [64, 3, 1, "valid"], [512, 7, 1, "valid"]],
        conv_activation="relu",
        head_fcnet_hiddens=[],
        vf_share_layers=True,
    ),
}
"""RLlib's default CNN module in two forms."""

STACK = 4
SECONDS_PER_ITERATION = 2.0
"""Of the asynchronous ones, as in rlsweep; the others hand over a batch at a time."""

ENV_STEPS_PER_DQN_ITERATION = 100


def stock_config(
    algorithm: str, env_runners: int, envs: int, *, module: str, stack_in_env: bool
) -> AlgorithmConfig:
    """The AlgorithmConfig.

    Args:
        algorithm: ppo, impala, appo or dqn.
        env_runners: remote ones; 0 samples in the trial's own process.
        envs: of each env runner.
        module: key of MODULES.
        stack_in_env: RLlib's stacking wrapper in place of its connectors.
    """
    register_env("stock", _create_env)
    config = CONFIGS[algorithm]()
    config.environment("stock", env_config={"framestack": STACK if stack_in_env else None})
    config.env_runners(
        num_env_runners=env_runners,
        num_envs_per_env_runner=envs,
        env_to_module_connector=None if stack_in_env else _stack_for_module,
        gym_env_vectorize_mode=gymnasium.VectorizeMode.SYNC,
    )
    config.training(**training_arguments(algorithm))
    if not stack_in_env:
        config.training(learner_connector=_stack_for_learner)
    config.learners(num_learners=0)
    config.rl_module(model_config=MODULES[module])
    config.debugging(seed=0, log_level="ERROR")
    config.reporting(min_time_s_per_iteration=SECONDS_PER_ITERATION if algorithm in ASYNCHRONOUS else 0)
    if algorithm == "dqn":
        config.env_runners(rollout_fragment_length=4 // envs)  # a batch every 4 env steps
        config.reporting(min_sample_timesteps_per_iteration=ENV_STEPS_PER_DQN_ITERATION)
    return config


def _create_env(context: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    gymnasium.register_envs(ale_py)
    game = gymnasium.make(GAME, frameskip=1, full_action_space=False, repeat_action_probability=0.0)
    wrapped = wrap_atari_for_new_api_stack(game, dim=84, frameskip=4, framestack=context["framestack"])
    return gymnasium.wrappers.TransformReward(wrapped, _sign)  # the new stack reads no `clip_rewards`


def _sign(reward: Any) -> float:
    return float(np.sign(reward))


def _stack_for_module(*_env_spaces_device: Any) -> FrameStackingEnvToModule:
    return FrameStackingEnvToModule(num_frames=STACK)


def _stack_for_learner(*_spaces: Any) -> FrameStackingLearner:
    return FrameStackingLearner(num_frames=STACK)


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithm", choices=list(SPECS))
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--env-runners", type=int, default=0)
    parser.add_argument("--envs", type=int, default=16)
    parser.add_argument("--module", choices=list(MODULES), default="default")
    parser.add_argument("--stack-in-env", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(cores())
    ray.init(address="local", include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    quiet_libraries()
    config = stock_config(
        chosen.algorithm,
        chosen.env_runners,
        chosen.envs,
        module=chosen.module,
        stack_in_env=chosen.stack_in_env,
    )
    time_training(chosen.algorithm, config, chosen.seconds)


if __name__ == "__main__":
    main()
