"""Emulators that an earlier environment has left play as new ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rlsweep.rl import emulators
from rlsweep.rl.atari import make_atari
from rlsweep.rl.emulators import Emulators
from rlsweep.spec.env import EnvSpec

STICKY = EnvSpec(id="ALE/Breakout-v5", sticky_actions=0.25)


@pytest.fixture(autouse=True)
def _no_spare_ones() -> Iterator[None]:
    Emulators._spare.clear()
    yield
    Emulators._spare.clear()


def play(games: Any, seed: int, steps: int = 150) -> list[np.ndarray]:
    """Everything that the games hand out."""
    observations, infos = games.reset(seed=seed)
    seen = [observations.copy(), infos["lives"]]
    actions = np.random.default_rng(seed)
    for _ in range(steps):
        observations, *signals, infos = games.step(actions.integers(0, 4, games.num_envs))
        seen += [observations.copy(), *map(np.copy, signals), infos["lives"], infos["frame_number"]]
    return seen


def test_used_emulators_play_as_new_ones() -> None:
    new = make_atari(STICKY, 2)
    expected = play(new, seed=7)
    used = make_atari(STICKY, 2)
    play(used, seed=1)
    engine = used.unwrapped
    used.close()
    again = make_atari(STICKY, 2)
    assert again.unwrapped is engine
    for ours, theirs in zip(play(again, seed=7), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_without_a_seed_they_do_not_go_on_from_the_earlier_games() -> None:
    def first_frames() -> np.ndarray:
        games = make_atari(STICKY, 8)
        frames = games.reset()[1]["frame_number"]
        games.close()
        return np.asarray(frames)

    first_frames()
    drawn = {tuple(first_frames()) for _ in range(3)}
    assert len(drawn) == 3, "the numbers of no-ops at the start"


def test_each_environment_has_its_own_and_few_are_kept() -> None:
    games = [make_atari(STICKY, count) for count in (1, 1, 2, 3)]
    assert len({id(each.unwrapped) for each in games}) == 4
    for each in games:
        each.close()
        each.close()
    assert len(Emulators._spare) == Emulators.MAX_SPARE
    first, second = make_atari(STICKY, 3), make_atari(STICKY, 3)
    other_game = make_atari(EnvSpec(id="ALE/Pong-v5"), 2)
    assert first.unwrapped is games[3].unwrapped
    assert second.unwrapped is not games[3].unwrapped
    assert other_game.unwrapped is not games[2].unwrapped


def test_emulators_that_failed_in_a_step_are_not_kept() -> None:
    games = make_atari(STICKY, 1)
    games.reset(seed=0)
    with pytest.raises(AssertionError):
        games.step(np.zeros(5, np.int64))
    games.close()
    assert not Emulators._spare


def test_an_environment_that_is_left_open_is_closed_as_python_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python puts None in the place of a module's names before the last objects are gone."""
    games = make_atari(STICKY, 1)
    for name in [name for name in vars(emulators) if not name.startswith("__")]:
        monkeypatch.setattr(emulators, name, None)
    games.close()
    assert list(Emulators._spare.values()) == [games.unwrapped]
