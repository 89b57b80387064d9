"""What a random player and a human tester score in the 57 Atari games, and scores on that scale.

The numbers are the columns Random and Human of Table 2, "Raw scores across all games, starting with
30 no-op actions", of Wang et al. (2016), "Dueling Network Architectures for Deep Reinforcement Learning",
arXiv:1511.06581v3. These three print the same 57 pairs:

- `_ATARI_DATA` in `dqn_zoo/atari_data.py` of the repository google-deepmind/dqn_zoo;
- Figure 14 of Bellemare et al. (2017), "A Distributional Perspective on Reinforcement Learning";
- the paper's entries (no-op starts) in the repository seungjaeryanlee/rldb.

Tables that differ: Dopamine (`dopamine/labs/atari_100k/normalization_utils.py`) has 0.0 for the random
player of Video Pinball, which makes the scale of that game 12.5 times as long, and no human score for
Defender and Surround. The mean percentages in Table 1 of Wang et al. also agree only with that 0.0; the
medians agree with either. Mnih et al. (2015) and the human starts (Table 3) are other measurements.

A game was at most 108,000 frames (30 minutes) long. Scores got under another protocol, as with sticky
actions, are on the same scale but not strictly comparable.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@dataclass(frozen=True)
class GameScores:
    """The two fixed points of a game's scale: a normalized score of 0 and of 1."""

    random: float
    human: float


@cache
def human_scores() -> Mapping[str, GameScores]:
    """Gymnasium id, as `ALE/Breakout-v5`, -> the scores of that game; 57 games."""
    table = json.loads(files(__package__).joinpath("human_scores.json").read_text("utf-8"))
    return MappingProxyType({env_id: GameScores(**scores) for env_id, scores in table.items()})


def human_normalized(env_id: str, score: float) -> float:
    """A score on the scale where the random player has 0 and the human 1 (not percent).

    (score - random) / (human - random): Mnih et al. (2015), "Human-level control through deep
    reinforcement learning", Extended Data Table 2, there times 100; here with the numbers of
    `human_scores`. Below the random player it is negative, above the human more than 1.

    Raises:
        KeyError: the game is not one of the 57, or not named by its `ALE/…-v5` id.
    """
    scores = human_scores()[env_id]
    return (score - scores.random) / (scores.human - scores.random)


def human_normalized_or_nan(env_id: str, score: float) -> float:
    """The same; NaN where the scale of the game is not known."""
    return human_normalized(env_id, score) if env_id in human_scores() else math.nan
