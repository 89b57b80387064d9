"""Networks with their heads: what observes and decides, and what the learner needs beside it.

Plain torch: RLlib trains them inside its modules (`rlsweep.rl.modules`), a bundle plays them without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from rlsweep.rl.networks import make_head, make_torso
from rlsweep.spec.network import NetworkSpec

POLICY_GAIN = 0.01
VALUE_GAIN = 1.0
"""Gains of orthogonal initialisation of the last layers (Huang et al. 2022, detail 2)."""

EVALUATION_EPSILON = 0.05
"""Share of random actions when a Q-network plays without `greedy` (Mnih et al. 2015, Methods)."""


CRITIC = ("critic_torso", "value_head")
"""Parts of an ActorCritic that only learning needs."""


class Policy(Protocol):
    """What playing needs: observations in, actions out."""

    def decide(self, observations: Tensor) -> Tensor:
        """(B, *observation shape) -> (B, outputs): logits, Q-values, or mean and log std."""

    def act(self, observations: Tensor, *, greedy: bool, generator: torch.Generator) -> np.ndarray:
        """(B, *observation shape) -> (B,) action indices, or (B, *action shape) in the space's bounds."""


class ActorCritic(nn.Module):
    """Policy and value function, on one torso or on one each.

    Args:
        spec: the network; `vf_share_layers` decides on one torso or two.
        observation_shape: of one observation.
        action_space: Discrete (logits) or Box (means and log standard deviations, RLlib's order).
        with_critic: False builds the policy alone, for env runners and bundles.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        observation_shape: Sequence[int],
        action_space: gymnasium.Space,
        *,
        with_critic: bool = True,
    ) -> None:
        super().__init__()
        self.action_space = action_space
        self.torso = make_torso(spec, observation_shape)
        size = self.torso.output_size
        self.policy_head = make_head(spec, size, _policy_outputs(action_space), POLICY_GAIN)
        if with_critic:
            if not spec.vf_share_layers:
                self.critic_torso = make_torso(spec, observation_shape)
            self.value_head = make_head(spec, size, 1, VALUE_GAIN)

    def features(self, observations: Tensor) -> Tensor:
        """(B, *shape) -> (B, features) of the policy's torso."""
        return self.torso(observations)  # type: ignore[no-any-return]

    def critic_features(self, observations: Tensor, policy_features: Tensor) -> Tensor:
        """(B, features) for the value head: the policy's own where the torso is shared."""
        if hasattr(self, "critic_torso"):
            return self.critic_torso(observations)  # type: ignore[no-any-return]
        return policy_features

    def values(self, critic_features: Tensor) -> Tensor:
        """(B, features) -> (B,)."""
        return self.value_head(critic_features).squeeze(-1)  # type: ignore[no-any-return]

    def decide(self, observations: Tensor) -> Tensor:
        return self.policy_head(self.features(observations))  # type: ignore[no-any-return]

    def act(self, observations: Tensor, *, greedy: bool, generator: torch.Generator) -> np.ndarray:
        outputs = self.decide(observations)
        if isinstance(self.action_space, gymnasium.spaces.Discrete):
            if greedy:
                return outputs.argmax(-1).numpy()
            chances = outputs.softmax(-1)
            return torch.multinomial(chances, 1, generator=generator).squeeze(-1).numpy()
        mean, log_std = outputs.chunk(2, dim=-1)
        noise = torch.zeros_like(mean) if greedy else torch.randn(mean.shape, generator=generator)
        return unsquash((mean + log_std.exp() * noise).numpy(), self.action_space)


class QNetwork(nn.Module):
    """Action values: a DQN (Mnih et al. 2015), dueling (Wang et al. 2016) and distributional (Bellemare
    et al. 2017, C51) by choice.

    Args:
        spec: the torso.
        observation_shape: of one observation.
        action_space: the game's actions.
        dueling: value and advantage streams, joined by subtracting the mean advantage (eq. 9).
        num_atoms: atoms of the return distribution; 1 learns the expectation.
        v_min, v_max: support of the return distribution.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        observation_shape: Sequence[int],
        action_space: gymnasium.spaces.Discrete,
        *,
        dueling: bool = False,
        num_atoms: int = 1,
        v_min: float = -10.0,
        v_max: float = 10.0,
    ) -> None:
        super().__init__()
        self.num_actions, self.num_atoms = int(action_space.n), num_atoms
        self.torso = make_torso(spec, observation_shape)
        size = self.torso.output_size
        self.advantage_head = make_head(spec, size, self.num_actions * num_atoms, VALUE_GAIN)
        if dueling:
            self.value_head = make_head(spec, size, num_atoms, VALUE_GAIN)
        self.register_buffer("atoms", torch.linspace(v_min, v_max, num_atoms), persistent=False)

    def atom_logits(self, observations: Tensor) -> Tensor:
        """(B, *shape) -> (B, actions, atoms)."""
        features = self.torso(observations)
        logits = self.advantage_head(features).unflatten(-1, (self.num_actions, self.num_atoms))
        if hasattr(self, "value_head"):
            values = self.value_head(features).unsqueeze(-2)
            logits = values + logits - logits.mean(-2, keepdim=True)
        return logits  # type: ignore[no-any-return]

    def expectation(self, atom_logits: Tensor) -> Tensor:
        """(B, actions, atoms) -> (B, actions) Q-values."""
        if self.num_atoms == 1:
            return atom_logits.squeeze(-1)
        return (atom_logits.softmax(-1) * self.get_buffer("atoms")).sum(-1)

    def decide(self, observations: Tensor) -> Tensor:
        return self.expectation(self.atom_logits(observations))

    def act(self, observations: Tensor, *, greedy: bool, generator: torch.Generator) -> np.ndarray:
        actions = self.decide(observations).argmax(-1)
        if not greedy:
            shape = actions.shape
            explores = torch.rand(shape, generator=generator) < EVALUATION_EPSILON
            anything = torch.randint(self.num_actions, shape, generator=generator)
            actions = torch.where(explores, anything, actions)
        return actions.numpy()


def unsquash(actions: np.ndarray, space: gymnasium.Space) -> np.ndarray:
    """Policy outputs in [-1, 1] -> the bounds of a Box, as RLlib's `NormalizeAndClipActions` does.

    An unbounded space takes the outputs as they are.
    """
    if not isinstance(space, gymnasium.spaces.Box) or not space.is_bounded():
        return actions
    scaled = space.low + (np.clip(actions, -1.0, 1.0) + 1.0) * (space.high - space.low) / 2.0
    return np.asarray(np.clip(scaled, space.low, space.high), dtype=space.dtype)


def _policy_outputs(space: gymnasium.Space) -> int:
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(space.n)
    if isinstance(space, gymnasium.spaces.Box):
        return 2 * int(np.prod(space.shape))
    raise ValueError(f"no policy for actions {space}; allowed: Discrete or Box")
