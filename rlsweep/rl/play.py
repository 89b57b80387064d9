"""Whole games played by a policy: evaluation while training, rollouts after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import gymnasium
import numpy as np
import torch
from gymnasium.vector import VectorEnv

from rlsweep.errors import RunError, UsageError
from rlsweep.rl.environments import game_recorder
from rlsweep.rl.games import Game
from rlsweep.rl.policies import Policy

MAX_ENV_STEPS_PER_GAME = 200_000
"""More than any game with a limit takes (108,000 frames of an ALE game); one without might never end."""

MAX_PARALLEL_GAMES = 16
"""Environments stepped together; more win little and take memory."""


@dataclass(frozen=True)
class Moment:
    """The environment after its reset, or after an env step.

    Attributes:
        ended: games that ended with this step.
        scores: (num_envs,) of the games that are played, or have just ended.
        left: (num_envs,) games that each sub-environment has still to end; it goes on after its last.
    """

    ended: list[Game]
    scores: np.ndarray
    left: np.ndarray


def play_games(
    policy: Policy, environment: VectorEnv, games: int, *, greedy: bool, seed: int, epsilon: float = 0.0
) -> list[Game]:
    """The games of `moments`, in the order of their ends; arguments and errors as there."""
    played = moments(policy, environment, games, greedy=greedy, seed=seed, epsilon=epsilon)
    return [game for moment in played for game in moment.ended]


def moments(
    policy: Policy, environment: VectorEnv, games: int, *, greedy: bool, seed: int, epsilon: float = 0.0
) -> Iterator[Moment]:
    """Play `games` whole games, step by step.

    Each sub-environment plays a number of games that is fixed beforehand. Taking the first games to end
    instead would prefer short ones, which are the bad ones in most games.

    Args:
        policy: decides on observations of `environment`.
        environment: from `make_playing_environment`.
        games: at least 1.
        greedy: the likeliest action instead of a sampled one.
        seed: of the environments and of sampling; the same seed plays the same games.
        epsilon: share of actions that are drawn uniformly instead; of discrete ones only.

    Yields:
        The reset, and each env step until all games have ended.

    Raises:
        RunError: a game does not end within MAX_ENV_STEPS_PER_GAME.
        UsageError: `epsilon` where actions are not discrete.
    """
    recorder = game_recorder(environment)
    left = np.array([len(part) for part in np.array_split(np.arange(games), environment.num_envs)])
    generator = torch.Generator().manual_seed(seed)
    observations, _ = environment.reset(seed=seed)
    recorder.pop_games()
    yield Moment([], recorder.scores, left.copy())
    lengths = np.zeros(environment.num_envs, dtype=np.int64)
    while left.any():
        if lengths.max() >= MAX_ENV_STEPS_PER_GAME:
            raise RunError(f"a game has not ended after {lengths.max():,} env steps: does it have a limit?")
        with torch.inference_mode():
            tensor = torch.from_numpy(np.ascontiguousarray(observations))
            actions = policy.act(tensor, greedy=greedy, generator=generator)
        if epsilon > 0:
            actions = _with_random_ones(actions, environment, epsilon, generator)
        observations, *_ = environment.step(actions)
        lengths += 1
        ended = []
        for game in recorder.pop_games():
            lengths[game.env_index] = 0
            if left[game.env_index] > 0:
                left[game.env_index] -= 1
                ended.append(game)
        yield Moment(ended, recorder.scores, left.copy())


def _with_random_ones(
    actions: np.ndarray, environment: VectorEnv, epsilon: float, generator: torch.Generator
) -> np.ndarray:
    space = environment.single_action_space
    if not isinstance(space, gymnasium.spaces.Discrete):
        raise UsageError(f"epsilon: actions are {space}; allowed: Discrete")
    chance = torch.rand(len(actions), generator=generator).numpy()
    anything = torch.randint(int(space.n), (len(actions),), generator=generator).numpy()
    return np.where(chance < epsilon, anything, actions)
