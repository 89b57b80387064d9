"""Whole games: what a person playing would call one game and its score.

RLlib sees episodes, and an episode may be one life of several with clipped rewards. The recorder sits
directly on the environment, below all that, and counts what really happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

LIVES = "lives"
"""Key of ALE's infos: lives left, (num_envs,)."""


@dataclass(frozen=True)
class Game:
    """One whole game.

    Attributes:
        score: sum of the unclipped rewards.
        env_steps: env steps that it took, steps that a wrapper played included.
        env_index: which sub-environment it was played in.
        truncated: cut by a limit (frames, time) instead of lost or won.
        lives_lost: in ALE games that have lives; 0 elsewhere.
        phase_entry: the recorder's when the game began.
    """

    score: float
    env_steps: int
    env_index: int
    truncated: bool
    lives_lost: int = 0
    phase_entry: int = 0


class GameRecorder(VectorWrapper):
    """Counts score and length of every game of a vector environment in NEXT_STEP autoreset mode.

    Finished games are kept until `pop_games` takes them. Partial resets (`options={"reset_mask": …}`)
    start the masked games anew.

    Attributes:
        phase_entry: games that begin from now on are noted as of this phase of a curriculum: how many phases
            the trial had entered before, so that one which is entered again has games of its own.
    """

    phase_entry = 0

    def __init__(self, env: VectorEnv) -> None:
        super().__init__(env)
        self._scores = np.zeros(self.num_envs, dtype=np.float64)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._is_over = np.zeros(self.num_envs, dtype=bool)
        self._lives = np.zeros(self.num_envs, dtype=np.int64)
        self._lives_lost = np.zeros(self.num_envs, dtype=np.int64)
        self._phase_entries = np.zeros(self.num_envs, dtype=np.int64)
        self._games: list[Game] = []

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        everything = np.ones(self.num_envs, dtype=bool)
        mask = (options or {}).get("reset_mask", everything)
        observations, infos = self.env.reset(seed=seed, options=options)
        self._lives = np.where(mask, infos.get(LIVES, 0), self._lives)
        self._start_games(mask)
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        begins = self._is_over.copy()
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        self._start_games(begins)
        self._scores += np.where(begins, 0.0, rewards)
        self._lengths += ~begins
        if LIVES in infos:
            lives = np.array(infos[LIVES])
            self._lives_lost += (lives < self._lives) & ~begins
            self._lives = lives
        self._is_over = np.logical_or(terminations, truncations)
        for index in np.flatnonzero(self._is_over):
            self._games.append(
                Game(
                    score=float(self._scores[index]),
                    env_steps=int(self._lengths[index]),
                    env_index=int(index),
                    truncated=bool(truncations[index] and not terminations[index]),
                    lives_lost=int(self._lives_lost[index]),
                    phase_entry=int(self._phase_entries[index]),
                )
            )
        return observations, rewards, terminations, truncations, infos

    @property
    def scores(self) -> np.ndarray:
        """(num_envs,) of the games that are played now, or have just ended."""
        return self._scores.copy()

    def pop_games(self) -> list[Game]:
        """The games that ended since the last call, in the order of their ends."""
        games, self._games = self._games, []
        return games

    def _start_games(self, mask: np.ndarray) -> None:
        self._scores[mask] = 0.0
        self._lengths[mask] = 0
        self._lives_lost[mask] = 0
        self._is_over[mask] = False
        self._phase_entries[mask] = self.phase_entry
