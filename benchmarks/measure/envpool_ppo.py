"""PPO in one file on EnvPool, as CleanRL's `ppo_atari_envpool.py`, with the hyperparameters of our spec.

Written for this comparison: the algorithm is small, and CleanRL is no library that could be installed.
"""

from __future__ import annotations

import argparse

import envpool
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from benchmarks.measure.stopwatch import Stopwatch, cores

ENVS, VECTOR_STEPS, EPOCHS, MINIBATCH = 16, 128, 4, 256
BATCH = ENVS * VECTOR_STEPS
DISCOUNT, LAMBDA, CLIP, ENTROPY, VALUE, MOST_GRADIENT = 0.99, 0.95, 0.1, 0.01, 0.5, 0.5


def orthogonal(layer: nn.Module, gain: float = 2**0.5) -> nn.Module:
    """CleanRL's `layer_init`."""
    nn.init.orthogonal_(layer.weight, gain)  # type: ignore[arg-type]
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class Agent(nn.Module):
    """The Nature CNN with two heads."""

    def __init__(self, num_actions: int) -> None:
        super().__init__()
        self.torso = nn.Sequential(
            orthogonal(nn.Conv2d(4, 32, 8, 4)),
            nn.ReLU(),
            orthogonal(nn.Conv2d(32, 64, 4, 2)),
            nn.ReLU(),
            orthogonal(nn.Conv2d(64, 64, 3, 1)),
            nn.ReLU(),
            nn.Flatten(),
            orthogonal(nn.Linear(64 * 7 * 7, 512)),
            nn.ReLU(),
        )
        self.actor = orthogonal(nn.Linear(512, num_actions), 0.01)
        self.critic = orthogonal(nn.Linear(512, 1), 1.0)

    def forward(self, observations: Tensor) -> tuple[Categorical, Tensor]:
        """(B, 4, 84, 84) uint8 -> the policy and (B,) values."""
        hidden = self.torso(observations / 255.0)
        return Categorical(logits=self.actor(hidden)), self.critic(hidden).squeeze(-1)


class Rollout:
    """A batch of fragments, (steps, games, ...), and the games it comes from."""

    def __init__(self) -> None:
        self.games = envpool.make(
            "Breakout-v5",
            env_type="gymnasium",
            num_envs=ENVS,
            num_threads=cores(),
            episodic_life=True,
            reward_clip=True,
            repeat_action_probability=0.0,
            seed=0,
        )
        shape = (VECTOR_STEPS, ENVS)
        self.observations = torch.zeros((*shape, 4, 84, 84), dtype=torch.uint8)
        self.actions = torch.zeros(shape, dtype=torch.int64)
        self.log_probabilities, self.rewards, self.values, self.is_first = torch.zeros((4, *shape))
        self.next_observations = torch.as_tensor(self.games.reset()[0])
        self.next_is_first = torch.ones(ENVS)

    @torch.no_grad()
    def collect(self, agent: Agent) -> tuple[Tensor, Tensor]:
        """Play a fragment; returns its advantages and returns, (steps, games)."""
        for step in range(VECTOR_STEPS):
            self.observations[step], self.is_first[step] = self.next_observations, self.next_is_first
            policy, self.values[step] = agent(self.next_observations)
            self.actions[step] = policy.sample()
            self.log_probabilities[step] = policy.log_prob(self.actions[step])
            seen, rewards, ended, truncated, _ = self.games.step(self.actions[step].numpy())
            self.rewards[step] = torch.as_tensor(rewards)
            self.next_observations = torch.as_tensor(seen)
            self.next_is_first = torch.as_tensor(np.logical_or(ended, truncated)).float()
        advantages, advantage = torch.zeros_like(self.rewards), torch.zeros(ENVS)
        next_values = agent(self.next_observations)[1]
        for step in reversed(range(VECTOR_STEPS)):
            last = step == VECTOR_STEPS - 1
            goes_on = 1.0 - (self.next_is_first if last else self.is_first[step + 1])
            following = next_values if last else self.values[step + 1]
            error = self.rewards[step] + DISCOUNT * following * goes_on - self.values[step]
            advantage = error + DISCOUNT * LAMBDA * goes_on * advantage
            advantages[step] = advantage
        return advantages, advantages + self.values


def learn(agent: Agent, optimizer: torch.optim.Optimizer, rollout: Rollout) -> None:
    """Four epochs of minibatches over a rollout."""
    advantages, returns = (values.flatten() for values in rollout.collect(agent))
    observations, actions = rollout.observations.flatten(0, 1), rollout.actions.flatten()
    old = rollout.log_probabilities.flatten()
    for _ in range(EPOCHS):
        for chosen in torch.randperm(BATCH).view(-1, MINIBATCH):
            policy, values = agent(observations[chosen])
            change = (policy.log_prob(actions[chosen]) - old[chosen]).exp()
            gain = advantages[chosen]
            gain = (gain - gain.mean()) / (gain.std() + 1e-8)
            policy_loss = -torch.min(gain * change, gain * change.clamp(1 - CLIP, 1 + CLIP)).mean()
            value_loss = 0.5 * (values - returns[chosen]).square().mean()
            loss = policy_loss + VALUE * value_loss - ENTROPY * policy.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), MOST_GRADIENT)
            optimizer.step()


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, required=True)
    chosen = parser.parse_args()
    torch.set_num_threads(cores())
    torch.manual_seed(0)
    rollout = Rollout()
    agent = Agent(int(rollout.games.action_space.n))
    optimizer = torch.optim.Adam(agent.parameters(), lr=2.5e-4, eps=1e-5)
    watch, env_steps, is_over = Stopwatch(chosen.seconds), 0, False
    while not is_over:
        learn(agent, optimizer, rollout)
        env_steps += BATCH
        is_over = watch.note(env_steps)
    watch.report(trained_per_env_step=float(EPOCHS))


if __name__ == "__main__":
    main()
