"""`rollout`: whole games played by policy bundles, with scores and, on request, a film."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from rlsweep.errors import UsageError
from rlsweep.rl.bundle import Bundle
from rlsweep.rl.environments import make_playing_environment
from rlsweep.rl.games import Game
from rlsweep.rl.play import MAX_PARALLEL_GAMES, Moment, moments
from rlsweep.run.film import Film, Panel
from rlsweep.spec import EnvSpec

EMULATOR_FRAMES_PER_SECOND = 60
OTHER_FRAMES_PER_SECOND = 30
ROLLOUT_SEED = 3_000_017
"""Added to the seed of a rollout: training games have seeds below, evaluation games others."""

MAX_FILMED_GAMES = 16
"""Beside each other in a film."""

OnGame = Callable[[str, Game], None]
"""Called with the name of the policy, and the game."""


@dataclass(frozen=True)
class Play:
    """How games are played.

    Attributes:
        games: whole ones, at least 1.
        greedy: the likeliest action instead of a sampled one.
        epsilon: share of actions that are drawn uniformly instead.
        sticky_actions: of an ALE game, instead of those that the policy was trained with.
        seed: the same seed plays the same games; none is that of a training or an evaluation.
    """

    games: int
    greedy: bool = False
    epsilon: float = 0.0
    sticky_actions: float | None = None
    seed: int = 0


def rollout(
    bundle: Bundle, play: Play, *, video: Path | None = None, on_game: OnGame | None = None
) -> list[Game]:
    """`rollout_together` of one policy."""
    return rollout_together({"": bundle}, play, video=video, on_game=on_game)[""]


def rollout_together(
    bundles: Mapping[str, Bundle],
    play: Play,
    *,
    video: Path | None = None,
    beside: int = 1,
    on_game: OnGame | None = None,
) -> dict[str, list[Game]]:
    """Play whole games as policies were trained to: same environment, same preprocessing, other games.

    Args:
        bundles: name -> from `load_bundle`; each plays games of the same seeds.
        play: how many, and how.
        video: an MP4 or GIF of all games, in the speed a person plays them; several policies side by side.
        beside: games of each policy in one picture of the film, 1 to MAX_FILMED_GAMES.
        on_game: called with the name and each game as it ends.

    Returns:
        Name -> games, in the order of their ends.

    Raises:
        UsageError: the video's name has no suffix of a known format; sticky actions of a game that is none
            of ALE's; epsilon with continuous actions; `beside` is out of its range.
    """
    if not 1 <= beside <= MAX_FILMED_GAMES:
        raise UsageError(f"beside: {beside} games in one picture; allowed: 1 to {MAX_FILMED_GAMES}")
    num_envs = min(play.games, MAX_PARALLEL_GAMES if video is None else beside)
    with ExitStack() as stack:
        stages = []
        for name, bundle in bundles.items():
            env = _environment_of(bundle, play.sticky_actions)
            environment = make_playing_environment(env, num_envs, render=video is not None)
            stack.callback(environment.close)
            stages.append(_Stage(name, bundle, environment, play, on_game))
        if video is None:
            for stage in stages:
                for _ in stage.moments():
                    pass
        else:
            speed = min(_frames_per_second(bundle) for bundle in bundles.values())
            _film(stages, stack.enter_context(Film(video, speed)))
        return {stage.name: stage.played for stage in stages}


class _Stage:
    """One policy at play.

    Attributes:
        name: of the policy.
        played: games that have ended.
        panels: of its environments, as they stand; a game that was the last keeps its end.
    """

    def __init__(
        self, name: str, bundle: Bundle, environment: VectorEnv, play: Play, on_game: OnGame | None
    ) -> None:
        self.name = name
        self.played: list[Game] = []
        self.panels: list[Panel] = []
        self._bundle, self._environment = bundle, environment
        self._play, self._on_game = play, on_game

    def moments(self) -> Iterator[Moment]:
        """Play, and note every game that ends."""
        play = self._play
        for moment in moments(
            self._bundle.policy,
            self._environment,
            play.games,
            greedy=play.greedy,
            epsilon=play.epsilon,
            seed=play.seed + ROLLOUT_SEED,
        ):
            self.played += moment.ended
            for game in moment.ended:
                if self._on_game is not None:
                    self._on_game(self.name, game)
            yield moment

    def filmed_moments(self) -> Iterator[Moment]:
        """The same with `panels` drawn anew each time."""
        for moment in self.moments():
            pictures: Any = self._environment.render()
            just_ended = {game.env_index for game in moment.ended}
            drawn = [
                Panel(np.asarray(picture), self._caption(float(score)))
                for picture, score in zip(pictures, moment.scores, strict=True)
            ]
            old = self.panels or drawn
            self.panels = [
                new if moment.left[index] or index in just_ended else old[index]
                for index, new in enumerate(drawn)
            ]
            yield moment

    def _caption(self, score: float) -> str:
        name = self.name.rstrip("/").rpartition("/")[2]
        return "   ".join(part for part in (name, f"score {score:g}") if part)


def _film(stages: Sequence[_Stage], film: Film) -> None:
    """All stages step by step, until the last has ended."""
    for _ in itertools.zip_longest(*(stage.filmed_moments() for stage in stages)):
        film.add([stage.panels for stage in stages])


def _environment_of(bundle: Bundle, sticky_actions: float | None) -> EnvSpec:
    env = bundle.env
    if sticky_actions is None:
        return env
    if not env.is_atari:
        raise UsageError(f"sticky actions: {env.id} is no ALE game")
    # Not model_copy: it takes along what the spec has worked out of its old values.
    return EnvSpec.model_validate({**env.model_dump(exclude_unset=True), "sticky_actions": sticky_actions})


def _frames_per_second(bundle: Bundle) -> float:
    if bundle.env.is_atari:
        return EMULATOR_FRAMES_PER_SECOND / bundle.env.frames_per_env_step
    return OTHER_FRAMES_PER_SECOND
