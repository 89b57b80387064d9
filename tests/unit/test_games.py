"""The wrappers between the emulator and the learner, on real games."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import VectorEnv

from rlsweep.errors import PreflightError
from rlsweep.rl.atari import _gymnasium_games, _native_games, fire_action, make_atari
from rlsweep.rl.environments import game_recorder, make_environment, make_playing_environment
from rlsweep.spec import EnvSpec

NOOP, FIRE = 0, 1


def breakout(**settings: Any) -> EnvSpec:
    return EnvSpec(id="ALE/Breakout-v5", **settings)


def play(env: VectorEnv, steps: int, actions: Any) -> list[tuple[Any, ...]]:
    """`steps` steps after a reset, each as (observations, rewards, terminations, truncations, infos)."""
    env.reset(seed=0)
    return [env.step(actions(step)) for step in range(steps)]


def random_actions(env: VectorEnv, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    return lambda _: random.integers(env.single_action_space.n, size=env.num_envs)  # type: ignore[attr-defined]


@pytest.mark.parametrize("terminal_on_life_loss", [False, True])
def test_a_game_of_breakout_costs_five_lives(terminal_on_life_loss: bool) -> None:
    env = make_atari(breakout(terminal_on_life_loss=terminal_on_life_loss), 2)
    play(env, 900, random_actions(env))
    games = game_recorder(env).pop_games()
    env.close()
    assert len(games) > 2
    assert {game.lives_lost for game in games} == {5}


@pytest.mark.parametrize("game", ["Breakout", "Pong", "SpaceInvaders", "MsPacman"])
@pytest.mark.parametrize("grayscale", [True, False])
def test_both_backends_give_the_same_pixels_rewards_and_ends(game: str, grayscale: bool) -> None:
    env = EnvSpec(id=f"ALE/{game}-v5", noop_max=0, grayscale=grayscale, resolution=(84, 80))
    native, python = _native_games(env, 1, 1), _gymnasium_games(env, 1, render=False)
    ours, theirs = native.reset(seed=3)[0], python.reset(seed=3)[0]
    np.testing.assert_array_equal(ours, theirs)
    choose = random_actions(native)
    for step in range(150):
        actions = choose(step)
        for given, expected in zip(native.step(actions)[:4], python.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(given, expected)


def test_the_score_of_a_game_is_the_sum_of_its_unclipped_rewards_over_all_lives() -> None:
    env = EnvSpec(id="ALE/MsPacman-v5")  # rewards of 10 and more, three lives
    games = make_atari(env, 4)
    bare = _native_games(env, 4, 1)
    bare.reset(seed=0)
    games.reset(seed=0)
    choose = random_actions(games)
    totals, expected, learner_rewards = np.zeros(4), [], set()
    was_over = np.zeros(4, bool)
    opening = np.zeros(4, bool)
    for step in range(900):
        actions = choose(step)
        _, rewards, terminations, truncations, _ = games.step(actions)
        played = np.where(opening, NOOP, actions)  # what the wrapper really plays
        _, raw, over, cut, _ = bare.step(played)
        totals = np.where(was_over, 0, totals + raw)
        was_over = over | cut
        opening = (terminations | truncations) & ~was_over
        expected += [float(total) for total in totals[was_over]]
        learner_rewards |= set(rewards.tolist())
    scores = [game.score for game in game_recorder(games).pop_games()]
    assert len(scores) >= 4
    assert scores == expected
    assert max(scores) >= 100
    assert learner_rewards <= {-1.0, 0.0, 1.0}


def test_a_lost_life_ends_the_episode_but_not_the_game() -> None:
    games = make_atari(breakout(), 1)
    steps = play(games, 400, lambda _: np.array([FIRE]))
    ends = [i for i, (_, _, terminated, _, _) in enumerate(steps) if terminated[0]]
    lives = [int(infos["lives"][0]) for *_, infos in steps]
    recorder = game_recorder(games)
    first_game = recorder.pop_games()[0]
    assert [lives[i] for i in ends[:5]] == [4, 3, 2, 1, 0]
    assert first_game.env_steps == ends[4] + 1
    assert all(lives[i + 1] == lives[i] for i in ends[:4]), "the step after a lost life goes on in the game"


def test_after_a_lost_life_fire_is_played_whatever_the_action() -> None:
    """With NOOP for every action the ball of Breakout is only served where the wrapper presses FIRE."""
    served = make_atari(breakout(), 1)
    steps = play(served, 300, lambda _: np.array([NOOP]))
    assert sum(int(terminated[0]) for _, _, terminated, _, _ in steps) >= 5
    unserved = make_atari(breakout(terminal_on_life_loss=False), 1)
    steps = play(unserved, 300, lambda _: np.array([NOOP]))
    assert min(int(infos["lives"][0]) for *_, infos in steps) == 4, "no ball, no further life lost"


def test_a_game_that_ends_in_the_opening_step_starts_anew_at_once() -> None:
    games = make_atari(breakout(noop_max=0, max_frames=84), 1)  # cut one step after the first lost life
    games.reset(seed=0)
    ends = []
    for _ in range(60):
        _, _, terminated, truncated, infos = games.step(np.array([NOOP]))
        ends.append((bool(terminated[0]), bool(truncated[0]), int(infos["lives"][0])))
    recorded = game_recorder(games).pop_games()
    assert len(recorded) >= 2
    for (terminated, _, _), (next_terminated, next_truncated, _) in pairwise(ends):
        if terminated:
            assert not next_terminated
            assert not next_truncated


def test_no_life_loss_signal_means_one_episode_a_game() -> None:
    games = make_atari(breakout(terminal_on_life_loss=False), 2)
    steps = play(games, 600, random_actions(games))
    ends = sum(int((terminated | truncated).sum()) for _, _, terminated, truncated, _ in steps)
    assert ends == len(game_recorder(games).pop_games()) > 0


def test_the_protocols_differ_as_their_papers_do() -> None:
    dqn, machado = breakout().atari, breakout(protocol="machado").atari
    assert (dqn.sticky_actions, dqn.terminal_on_life_loss, dqn.full_action_space) == (0.0, True, False)
    assert (machado.sticky_actions, machado.terminal_on_life_loss, machado.full_action_space) == (
        0.25,
        False,
        True,
    )
    assert make_atari(breakout(protocol="machado"), 1).single_action_space.n == 18  # type: ignore[attr-defined]
    assert breakout(protocol="machado", sticky_actions=0.1).atari.sticky_actions == 0.1


def test_sticky_actions_make_the_same_actions_end_differently() -> None:
    def screens(sticky_actions: float, seed: int) -> np.ndarray:
        games = make_atari(breakout(sticky_actions=sticky_actions, noop_max=0), 1)
        games.reset(seed=seed)
        choose = random_actions(games)
        return np.stack([games.step(choose(step))[0] for step in range(60)])

    assert (screens(0.0, 1) == screens(0.0, 2)).all()
    assert (screens(0.25, 1) != screens(0.25, 2)).any()
    assert (screens(0.25, 1) == screens(0.25, 1)).all()


def test_mode_and_difficulty_reach_the_emulator() -> None:
    def screens(**settings: Any) -> np.ndarray:
        games = make_atari(breakout(noop_max=0, **settings), 1)
        games.reset(seed=0)
        return np.stack([games.step(np.array([3]))[0] for _ in range(40)])

    plain = screens()
    assert (plain == screens(mode=0, difficulty=0)).all()
    assert (plain != screens(mode=4)).any()
    assert (plain != screens(difficulty=1)).any()


def test_an_impossible_mode_is_refused() -> None:
    with pytest.raises(PreflightError, match="no mode 77; allowed: 0, 4"):
        make_environment(breakout(mode=77), 1)


def test_frames_stacked_by_a_connector_are_those_stacked_in_the_environment() -> None:
    ours = make_playing_environment(breakout(frame_stack_by="connector"), 1)
    theirs = make_playing_environment(breakout(), 1)
    stacked, expected = ours.reset(seed=0)[0], theirs.reset(seed=0)[0]
    assert stacked.shape == (1, 84, 84, 4)
    np.testing.assert_array_equal(np.moveaxis(stacked, -1, 1), expected)
    choose = random_actions(ours)
    was_over, since_start = False, 1
    for step in range(200):
        actions = choose(step)
        stacked, _, terminated, truncated, _ = ours.step(actions)
        expected = theirs.step(actions)[0]
        since_start = 1 if was_over else since_start + 1
        was_over = bool(terminated[0] | truncated[0])
        np.testing.assert_array_equal(stacked[0, ..., -1], expected[0, -1])
        if since_start >= 4:
            np.testing.assert_array_equal(np.moveaxis(stacked, -1, 1), expected)
        if since_start == 1:
            assert not stacked[0, ..., :-1].any(), "a new episode starts a new stack"


@pytest.mark.parametrize(("game", "action"), [("Breakout", 1), ("Pong", 1), ("MsPacman", None)])
def test_which_games_need_fire(game: str, action: int | None) -> None:
    assert fire_action(EnvSpec(id=f"ALE/{game}-v5")) == action


def test_cartpole_games_are_recorded_too() -> None:
    games = make_environment(EnvSpec(id="CartPole-v1"), 3)
    play(games, 100, random_actions(games))
    recorded = game_recorder(games).pop_games()
    assert len(recorded) >= 6
    assert all(game.score == game.env_steps for game in recorded)
    assert game_recorder(games).pop_games() == []


def test_a_discrete_observation_becomes_one_hot() -> None:
    games = make_environment(EnvSpec(id="FrozenLake-v1"), 2)
    observations, _ = games.reset(seed=0)
    assert observations.shape == (2, 16)
    assert (observations.sum(axis=1) == 1).all()
