"""The algorithms that a spec can name: RLlib's config classes and our modules (new API stack only)."""

from __future__ import annotations

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.torch import TorchRLModule

from rlsweep.rl.dqn import ReplayDQNConfig
from rlsweep.rl.modules import ActorCriticModule, TargetActorCriticModule, ValueNotingModule
from rlsweep.rl.q_module import QModule

CONFIG_CLASSES: dict[str, type[AlgorithmConfig]] = {
    "ppo": PPOConfig,
    "appo": APPOConfig,
    "impala": IMPALAConfig,
    "dqn": ReplayDQNConfig,
}

MODULE_CLASSES: dict[str, type[TorchRLModule]] = {
    "ppo": ValueNotingModule,
    "impala": ActorCriticModule,
    "appo": TargetActorCriticModule,
    "dqn": QModule,
}
