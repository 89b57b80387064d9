"""What the learner is given of rewards, and what the score stays."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from rlsweep.rl.environments import game_recorder, make_environment
from rlsweep.spec import EnvSpec

ENV_STEPS = 400


def played(env: EnvSpec) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Rewards and ends (env_steps, num_envs) of the same actions in the same games, and the games' scores."""
    games = make_environment(env, 2)
    rng = np.random.default_rng(0)
    games.reset(seed=3)
    rewards, ends = [], []
    for _ in range(ENV_STEPS):
        _, reward, terminations, truncations, _ = games.step(rng.integers(0, 2, 2))
        rewards.append(reward)
        ends.append(terminations | truncations)
    scores = [game.score for game in game_recorder(games).pop_games()]
    games.close()
    return np.array(rewards), np.array(ends), scores


def test_terms_are_added_to_the_scaled_reward_of_every_env_step() -> None:
    plain, ends, scores = played(EnvSpec(id="CartPole-v1"))
    shaped, _, same_scores = played(
        EnvSpec.model_validate({"id": "CartPole-v1", "reward": {"scale": 0.5, "step": -0.1}})
    )
    begins = np.vstack([np.zeros((1, 2), dtype=bool), ends[:-1]])
    assert begins.any()
    np.testing.assert_allclose(shaped, np.where(begins, 0.0, 0.5 * plain - 0.1), rtol=1e-6)
    assert scores == same_scores


@pytest.mark.parametrize("terminal_on_life_loss", [False, True])
def test_a_lost_life_costs_what_the_spec_says(terminal_on_life_loss: bool) -> None:
    settings = {"id": "ALE/Breakout-v5", "terminal_on_life_loss": terminal_on_life_loss}
    plain, ends, scores = played(EnvSpec.model_validate(settings))
    shaped, _, same_scores = played(EnvSpec.model_validate({**settings, "reward": {"life_loss": -1}}))
    costs = shaped - plain
    assert set(np.unique(costs)) == {-1.0, 0.0}
    # a game of Breakout has five lives
    assert (costs == -1).sum() >= 5 * len(scores) > 0
    if terminal_on_life_loss:
        np.testing.assert_array_equal(costs == -1, ends)
    assert scores == same_scores


def test_the_observations_and_actions_are_the_same() -> None:
    env = EnvSpec.model_validate({"id": "ALE/Breakout-v5", "reward": {"scale": 2}})
    games = make_environment(env, 1)
    assert games.single_action_space == gymnasium.spaces.Discrete(4)
    assert games.metadata["frame_stack"] == 4, "what the replay buffer goes by"
    games.close()
