"""`rollout`: whole games played by a policy bundle, with scores and, on request, a video."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
from gymnasium.vector import VectorEnv

from analysis.statistics import Interval, interval, mean
from rlsweep.errors import UsageError
from rlsweep.rl.bundle import Bundle
from rlsweep.rl.environments import make_playing_environment
from rlsweep.rl.games import Game
from rlsweep.rl.play import MAX_PARALLEL_GAMES, play_games
from rlsweep.spec import EnvSpec
from rlsweep.spec.human_scores import human_normalized, human_scores

EMULATOR_FRAMES_PER_SECOND = 60
OTHER_FRAMES_PER_SECOND = 30
GIF = ".gif"
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", GIF)
ROLLOUT_SEED = 3_000_017
"""Added to the seed of a rollout: training games have seeds below, evaluation games others."""

MACRO_BLOCK = 2
"""H.264 in yuv420p takes even widths and heights; the 160x210 of an Atari screen is one."""


def rollout(
    bundle: Bundle,
    games: int,
    *,
    greedy: bool = False,
    epsilon: float = 0.0,
    sticky_actions: float | None = None,
    seed: int = 0,
    video: Path | None = None,
    on_game: Callable[[Game], None] | None = None,
) -> list[Game]:
    """Play whole games as the policy was trained to: same environment, same preprocessing, other games.

    Args:
        bundle: from `load_bundle`.
        games: at least 1.
        greedy: the likeliest action instead of a sampled one.
        epsilon: share of actions that are drawn uniformly instead.
        sticky_actions: of an ALE game, instead of those that it was trained with.
        seed: the same seed plays the same games; none is that of a training or an evaluation.
        video: an MP4 or GIF of all games, in the speed a person plays them.
        on_game: called with each game as it ends.

    Raises:
        UsageError: the video's name has no suffix of a known format; sticky actions of a game that is none
            of ALE's; epsilon with continuous actions.
    """
    if video is not None and video.suffix not in VIDEO_SUFFIXES:
        allowed = ", ".join(VIDEO_SUFFIXES)
        raise UsageError(f"{video}: no video format {video.suffix!r}; allowed: {allowed}")
    env = bundle.env
    if sticky_actions is not None:
        if not env.is_atari:
            raise UsageError(f"sticky actions: {env.id} is no ALE game")
        # Not model_copy: it takes along what the spec has worked out of its old values.
        env = EnvSpec.model_validate({**env.model_dump(exclude_unset=True), "sticky_actions": sticky_actions})
    num_envs = 1 if video is not None else min(games, MAX_PARALLEL_GAMES)
    environment = make_playing_environment(env, num_envs, render=video is not None)
    arguments = {"greedy": greedy, "epsilon": epsilon, "seed": seed + ROLLOUT_SEED, "on_game": on_game}
    try:
        if video is None:
            return play_games(bundle.policy, environment, games, **arguments)  # type: ignore[arg-type]
        video.parent.mkdir(parents=True, exist_ok=True)
        fps = _frames_per_second(bundle)
        with imageio.get_writer(video, **_format(video, fps)) as writer:

            def film(playing: VectorEnv) -> None:
                pictures: Any = playing.render()
                writer.append_data(np.asarray(pictures[0]))  # type: ignore[attr-defined]

            return play_games(bundle.policy, environment, games, on_step=film, **arguments)  # type: ignore[arg-type]
    finally:
        environment.close()


def _format(video: Path, fps: float) -> dict[str, Any]:
    """imageio's settings of a GIF (milliseconds a picture, for ever), or of a film."""
    if video.suffix == GIF:
        return {"duration": 1000 / fps, "loop": 0}
    return {"fps": fps, "macro_block_size": MACRO_BLOCK}


def _frames_per_second(bundle: Bundle) -> float:
    if bundle.env.is_atari:
        return EMULATOR_FRAMES_PER_SECOND / bundle.env.frames_per_env_step
    return OTHER_FRAMES_PER_SECOND


@dataclass(frozen=True)
class Summary:
    """What some games say of a policy.

    Attributes:
        games: how many.
        mean: with the bounds of its 95 % bootstrap interval over games; NaN for one game.
        std: the sample's (n - 1), 0 for one game.
        median: of the scores.
        human_normalized: the mean on the scale where a human has 1; NaN where that is not known.
    """

    games: int
    mean: Interval
    std: float
    median: float
    human_normalized: float

    def __str__(self) -> str:
        text = f"mean {self.mean.value:.2f} ± {self.std:.2f} over {self.games} games"
        if math.isfinite(self.mean.low):
            text += f", 95 % interval {self.mean.low:.2f} to {self.mean.high:.2f}"
        text += f", median {self.median:g}"
        if math.isfinite(self.human_normalized):
            text += f"; human-normalised {self.human_normalized:.2f}"
        return text


def summarize(scores: Sequence[float], env_id: str) -> Summary:
    """Of the scores of at least one whole game of an environment."""
    values = np.array(scores, dtype=float)
    normalized = human_normalized(env_id, float(values.mean())) if env_id in human_scores() else math.nan
    return Summary(
        len(values),
        interval(values[:, None], mean),
        float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        float(np.median(values)),
        normalized,
    )
