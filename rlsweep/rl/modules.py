"""RLlib's RLModules (new API stack) round our networks: what all share, and the actor-critics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import TypeAdapter
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import (
    TARGET_NETWORK_ACTION_DIST_INPUTS,
    InferenceOnlyAPI,
    TargetNetworkAPI,
    ValueFunctionAPI,
)
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from rlsweep.rl.noisy import is_of_noise
from rlsweep.rl.policies import CRITIC, ActorCritic
from rlsweep.spec.network import NetworkSpec

NETWORK = "network"
"""Key of the model config (and attribute of the modules) that holds the network."""

RANDOM_ENV_STEPS = "random_env_steps"
"""Key of the model config: env steps of a trial in which actions are random; none where it is not there."""

Batch = dict[str, Any]


def network_spec(model_config: dict[str, Any]) -> NetworkSpec:
    """The `network:` section inside a module's model config."""
    return TypeAdapter(NetworkSpec).validate_python(model_config[NETWORK])


def policy_weights(state: Mapping[str, Any], *, has_critic: bool) -> dict[str, Any]:
    """Of a module's state what plays: the network's parameters, by their names in it.

    Args:
        state: of one of these modules, by parameter name.
        has_critic: of an actor-critic, whose critic is left out; a Q-network plays with all of it but noise.
    """
    prefix, critic = f"{NETWORK}.", CRITIC if has_critic else ()
    weights = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return {
        name: value
        for name, value in weights.items()
        if name.partition(".")[0] not in critic and not is_of_noise(name)
    }


class TorsoModule(TorchRLModule):
    """RLlib sets a module's mode in every pass; the layers are gone through only where it changes.

    With a seed RLlib makes torch deterministic, and torch then also fills what it allocates, for programs
    that read memory before they write it. Nothing here does, and filling is a tenth of an update.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        super().__init__(*args, **kwargs)

    def train(self, mode: bool = True) -> TorsoModule:
        return self if mode == self.training else super().train(mode)


class ActorCriticModule(TorsoModule, InferenceOnlyAPI, ValueFunctionAPI):
    """IMPALA. Env runners hold the policy alone."""

    acts_with_critic = False

    def setup(self) -> None:
        self.network = ActorCritic(
            network_spec(self.model_config),
            self.observation_space.shape,
            self.action_space,
            with_critic=self.acts_with_critic or not self.inference_only,
        )

    def get_non_inference_attributes(self) -> list[str]:
        return [] if self.acts_with_critic else [f"{NETWORK}.{part}" for part in CRITIC]

    def _forward(self, batch: Batch, **kwargs: Any) -> Batch:
        return {Columns.ACTION_DIST_INPUTS: self.network.decide(batch[Columns.OBS])}

    @torch.no_grad()
    def _forward_exploration(self, batch: Batch, t: int = 0, **kwargs: Any) -> Batch:
        return self._at_random_before(t, self._forward(batch))

    def _at_random_before(self, env_steps: int, outputs: Batch) -> Batch:
        """At first a policy that prefers nothing; the learner sees it as the one that has acted."""
        if env_steps < self.model_config.get(RANDOM_ENV_STEPS, 0):
            outputs[Columns.ACTION_DIST_INPUTS] = torch.zeros_like(outputs[Columns.ACTION_DIST_INPUTS])
        return outputs

    def _forward_train(self, batch: Batch, **kwargs: Any) -> Batch:
        observations = batch[Columns.OBS]
        features = self.network.features(observations)
        return {
            Columns.ACTION_DIST_INPUTS: self.network.policy_head(features),
            Columns.EMBEDDINGS: self.network.critic_features(observations, features),
        }

    def compute_values(self, batch: Batch, embeddings: Tensor | None = None) -> Tensor:
        if embeddings is None:
            observations = batch[Columns.OBS]
            has_own_torso = hasattr(self.network, "critic_torso")
            torso = self.network.critic_torso if has_own_torso else self.network.torso
            embeddings = torso(observations)
        return self.network.values(embeddings)


class ValueNotingModule(ActorCriticModule):
    """PPO: the env runners note what the critic thinks of each observation, which the advantages need.

    One more head on features that the policy has computed costs nothing beside another pass over the batch.
    """

    acts_with_critic = True

    @torch.no_grad()
    def _forward_exploration(self, batch: Batch, t: int = 0, **kwargs: Any) -> Batch:
        outputs = self._forward_train(batch)
        values = self.compute_values(batch, outputs.pop(Columns.EMBEDDINGS))
        return {**self._at_random_before(t, outputs), Columns.VF_PREDS: values}


class TargetActorCriticModule(ActorCriticModule, TargetNetworkAPI):
    """APPO: an ActorCriticModule with a target policy (Luo et al. 2020, IMPACT)."""

    def make_target_networks(self) -> None:
        self._target_network = make_target_network(self.network)

    def get_non_inference_attributes(self) -> list[str]:
        return [*super().get_non_inference_attributes(), "_target_network"]

    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        return [(self.network, self._target_network)]

    def forward_target(self, batch: Batch) -> Batch:
        return {TARGET_NETWORK_ACTION_DIST_INPUTS: self._target_network.decide(batch[Columns.OBS])}
