"""`rollout`: whole games played by a policy bundle, with scores and, on request, a video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
from gymnasium.vector import VectorEnv

from rlsweep.errors import UsageError
from rlsweep.rl.bundle import Bundle
from rlsweep.rl.environments import make_playing_environment
from rlsweep.rl.games import Game
from rlsweep.rl.play import MAX_PARALLEL_GAMES, play_games

EMULATOR_FRAMES_PER_SECOND = 60
OTHER_FRAMES_PER_SECOND = 30
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov")
MACRO_BLOCK = 2
"""H.264 in yuv420p takes even widths and heights; the 160x210 of an Atari screen is one."""


def rollout(
    bundle: Bundle,
    games: int,
    *,
    greedy: bool = False,
    seed: int = 0,
    video: Path | None = None,
    on_game: Callable[[Game], None] | None = None,
) -> list[Game]:
    """Play whole games as the policy was trained to: same environment, same preprocessing.

    Args:
        bundle: from `load_bundle`.
        games: at least 1.
        greedy: the likeliest action instead of a sampled one.
        seed: the same seed plays the same games.
        video: an MP4 of all games, in the speed a person plays them.
        on_game: called with each game as it ends.

    Raises:
        UsageError: the video's name has no suffix of a known format.
    """
    if video is not None and video.suffix not in VIDEO_SUFFIXES:
        allowed = ", ".join(VIDEO_SUFFIXES)
        raise UsageError(f"{video}: no video format {video.suffix!r}; allowed: {allowed}")
    num_envs = 1 if video is not None else min(games, MAX_PARALLEL_GAMES)
    environment = make_playing_environment(bundle.env, num_envs, render=video is not None)
    arguments = {"greedy": greedy, "seed": seed, "on_game": on_game}
    try:
        if video is None:
            return play_games(bundle.policy, environment, games, **arguments)  # type: ignore[arg-type]
        video.parent.mkdir(parents=True, exist_ok=True)
        fps = _frames_per_second(bundle)
        with imageio.get_writer(video, fps=fps, macro_block_size=MACRO_BLOCK) as writer:

            def film(playing: VectorEnv) -> None:
                pictures: Any = playing.render()
                writer.append_data(np.asarray(pictures[0]))  # type: ignore[attr-defined]

            return play_games(bundle.policy, environment, games, on_step=film, **arguments)  # type: ignore[arg-type]
    finally:
        environment.close()


def _frames_per_second(bundle: Bundle) -> float:
    if bundle.env.is_atari:
        return EMULATOR_FRAMES_PER_SECOND / bundle.env.frames_per_env_step
    return OTHER_FRAMES_PER_SECOND


def summary(scores: list[float]) -> str:
    """`mean 12.3 ± 4.5 over 5 games`; the sample's standard deviation (n - 1), 0 for one game."""
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return f"mean {np.mean(scores):.2f} ± {spread:.2f} over {len(scores)} games"
