"""RLlib's RLModules (new API stack) round the networks of `rlsweep.rl.policies`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from pydantic import TypeAdapter
from ray.rllib.algorithms.dqn.default_dqn_rl_module import (
    ATOMS,
    QF_LOGITS,
    QF_NEXT_PREDS,
    QF_PREDS,
    QF_PROBS,
    QF_TARGET_NEXT_PREDS,
    QF_TARGET_NEXT_PROBS,
)
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import (
    TARGET_NETWORK_ACTION_DIST_INPUTS,
    InferenceOnlyAPI,
    QNetAPI,
    TargetNetworkAPI,
    ValueFunctionAPI,
)
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.schedules.scheduler import Scheduler
from torch import Tensor

from rlsweep.rl.cores import side_by_side
from rlsweep.rl.policies import CRITIC, ActorCritic, QNetwork
from rlsweep.spec.network import NetworkSpec

NETWORK = "network"
"""Key of the model config (and attribute of the modules) that holds the network."""

# With a seed RLlib makes torch deterministic, and torch then also fills what it allocates, for programs that
# read memory before they write it. Nothing here does, and filling is a tenth of an update.
torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

Batch = dict[str, Any]


def network_spec(model_config: dict[str, Any]) -> NetworkSpec:
    """The `network:` section inside a module's model config."""
    return TypeAdapter(NetworkSpec).validate_python(model_config[NETWORK])


def policy_weights(state: Mapping[str, Any], *, has_critic: bool) -> dict[str, Any]:
    """Of a module's state what plays: the network's parameters, by their names in it.

    Args:
        state: of one of these modules, by parameter name.
        has_critic: of an actor-critic, whose critic is left out; a Q-network plays with all of it.
    """
    prefix, critic = f"{NETWORK}.", CRITIC if has_critic else ()
    weights = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return {name: value for name, value in weights.items() if name.partition(".")[0] not in critic}


class TorsoModule(TorchRLModule):
    """RLlib sets a module's mode in every pass; the layers are gone through only where it changes."""

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

    def _forward_exploration(self, batch: Batch, **kwargs: Any) -> Batch:
        with torch.no_grad():
            outputs = self._forward_train(batch)
            values = self.compute_values(batch, outputs.pop(Columns.EMBEDDINGS))
        return {**outputs, Columns.VF_PREDS: values}


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


class QModule(TorsoModule, InferenceOnlyAPI, TargetNetworkAPI, QNetAPI):
    """DQN. The settings `dueling`, `double_q`, `num_atoms`, `v_min`, `v_max` and `epsilon` reach it
    through the model config, where DQNConfig puts them."""

    def setup(self) -> None:
        settings = self.model_config
        self.uses_double_q = bool(settings["double_q"])
        self.epsilon_schedule = Scheduler(
            fixed_value_or_schedule=settings["epsilon"], framework=self.framework
        )
        self.network = QNetwork(
            network_spec(settings),
            self.observation_space.shape,
            self.action_space,
            dueling=settings["dueling"],
            num_atoms=settings["num_atoms"],
            v_min=settings["v_min"],
            v_max=settings["v_max"],
        )

    def get_non_inference_attributes(self) -> list[str]:
        return ["_target_network"]

    def make_target_networks(self) -> None:
        self._target_network = make_target_network(self.network)

    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        return [(self.network, self._target_network)]

    def forward_target(self, batch: Batch) -> Batch:
        return self._q_outputs(self._target_network, batch[Columns.OBS])

    def compute_q_values(self, batch: Batch) -> Batch:
        return self._q_outputs(self.network, batch[Columns.OBS])

    def _forward_inference(self, batch: Batch, **kwargs: Any) -> Batch:
        with torch.no_grad():
            return {Columns.ACTIONS: self.network.decide(batch[Columns.OBS]).argmax(-1)}

    def _forward_exploration(self, batch: Batch, t: int, **kwargs: Any) -> Batch:
        """Epsilon-greedy; `t` is the number of env steps sampled so far."""
        self.epsilon_schedule.update(t)
        epsilon = self.epsilon_schedule.get_current_value()
        best = self._forward_inference(batch)[Columns.ACTIONS]
        anything = torch.randint_like(best, self.network.num_actions)
        explores = torch.rand(best.shape, device=best.device) < epsilon
        return {Columns.ACTIONS: torch.where(explores, anything, best)}

    def _forward_train(self, batch: Batch, **kwargs: Any) -> Batch:
        online, following = side_by_side(
            [partial(self.compute_q_values, batch), partial(self._next_outputs, batch)]
        )
        outputs = {**following, QF_PREDS: online[QF_PREDS]}
        if self.network.num_atoms > 1:
            outputs[QF_LOGITS], outputs[QF_PROBS] = online[QF_LOGITS], online[QF_PROBS]
        return outputs

    @torch.no_grad()  # the loss takes these as constants: no gradient has to be kept for them
    def _next_outputs(self, batch: Batch) -> Batch:
        target = self._q_outputs(self._target_network, batch[Columns.NEXT_OBS])
        outputs = {QF_TARGET_NEXT_PREDS: target[QF_PREDS]}
        if self.uses_double_q:  # van Hasselt et al. 2016: the online network picks the next action
            outputs[QF_NEXT_PREDS] = self.network.decide(batch[Columns.NEXT_OBS])
        if self.network.num_atoms > 1:
            outputs |= {ATOMS: target[ATOMS], QF_TARGET_NEXT_PROBS: target[QF_PROBS]}
        return outputs

    @staticmethod
    def _q_outputs(network: QNetwork, observations: Tensor) -> Batch:
        logits = network.atom_logits(observations)
        outputs = {QF_PREDS: network.expectation(logits)}
        if network.num_atoms > 1:
            outputs |= {ATOMS: network.atoms, QF_LOGITS: logits, QF_PROBS: logits.softmax(-1)}
        return outputs


MODULE_CLASSES: dict[str, type[TorchRLModule]] = {
    "ppo": ValueNotingModule,
    "impala": ActorCriticModule,
    "appo": TargetActorCriticModule,
    "dqn": QModule,
}
