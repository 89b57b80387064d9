"""The scale of human-normalized scores."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import ale_py
import gymnasium
import pytest

from rlsweep.spec.human_scores import GameScores, human_normalized, human_normalized_or_nan, human_scores


def test_the_table_holds_the_57_games_by_their_registered_ids() -> None:
    gymnasium.register_envs(ale_py)
    assert len(human_scores()) == 57
    assert set(human_scores()) <= set(gymnasium.registry)
    assert all(env_id.startswith("ALE/") and env_id.endswith("-v5") for env_id in human_scores())


def test_the_human_is_above_the_random_player_in_every_game() -> None:
    assert [env_id for env_id, scores in human_scores().items() if scores.human <= scores.random] == []


@pytest.mark.parametrize(
    ("env_id", "random", "human"),
    [
        ("ALE/Alien-v5", 227.8, 7127.7),
        ("ALE/Breakout-v5", 1.7, 30.5),
        ("ALE/DoubleDunk-v5", -18.6, -16.4),
        ("ALE/PrivateEye-v5", 24.9, 69571.3),
        ("ALE/UpNDown-v5", 533.4, 11693.2),
        ("ALE/VideoPinball-v5", 16256.9, 17667.9),  # 0.0 in Dopamine
        ("ALE/Zaxxon-v5", 32.5, 9173.3),
    ],
)
def test_games_have_the_numbers_of_the_paper(env_id: str, random: float, human: float) -> None:
    assert human_scores()[env_id] == GameScores(random=random, human=human)


@pytest.mark.parametrize(
    ("env_id", "score", "normalized"),
    [
        ("ALE/Breakout-v5", 30.5, 1.0),
        ("ALE/Breakout-v5", 1.7, 0.0),
        ("ALE/Breakout-v5", 59.3, 2.0),  # 57.6 / 28.8
        ("ALE/Skiing-v5", -10717.5, 0.5),  # 6380.6 / 12761.2
        ("ALE/Pong-v5", 21.0, 1.181303),  # 41.7 / 35.3
        ("ALE/Pong-v5", -21.0, -0.008499),  # -0.3 / 35.3
    ],
)
def test_a_score_is_put_on_the_scale_from_random_to_human(
    env_id: str, score: float, normalized: float
) -> None:
    assert human_normalized(env_id, score) == pytest.approx(normalized, abs=1e-6)


@pytest.mark.parametrize("env_id", ["ALE/Tetris-v5", "CartPole-v1", "BreakoutNoFrameskip-v4", "breakout"])
def test_a_game_outside_the_table_has_no_scale(env_id: str) -> None:
    with pytest.raises(KeyError, match=env_id):
        human_normalized(env_id, 1.0)
    assert math.isnan(human_normalized_or_nan(env_id, 1.0))


def test_the_table_is_read_once_and_cannot_be_changed() -> None:
    assert human_scores() is human_scores()
    with pytest.raises(TypeError):
        human_scores()["ALE/Pong-v5"] = GameScores(0.0, 1.0)  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        human_scores()["ALE/Pong-v5"].human = 0.0  # type: ignore[misc]
