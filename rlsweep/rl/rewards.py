"""What the learner sees of rewards. Scores of games are counted below, from the environment's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

from rlsweep.rl.games import LIVES
from rlsweep.spec.env import RewardSpec


class ClipRewards(VectorWrapper):
    """The learner sees -1, 0 or 1 (Mnih et al. 2015, Methods); the recorder below sees the reward."""

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        return observations, np.sign(rewards).astype(np.float32), terminations, truncations, infos


class RewardTerms(VectorWrapper):
    """The learner sees `scale` times the reward plus the terms of `env.reward`.

    A step that starts an episode (NEXT_STEP autoreset) has no reward and no terms.
    """

    def __init__(self, env: VectorEnv, terms: RewardSpec) -> None:
        super().__init__(env)
        self._terms = terms
        self._lives = np.zeros(self.num_envs, dtype=np.int64)
        self._is_over = np.zeros(self.num_envs, dtype=bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observations, infos = self.env.reset(seed=seed, options=options)
        self._lives = self._lives_left(infos)
        self._is_over[:] = False
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        begins = self._is_over
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        lives = self._lives_left(infos)
        terms = self._terms.step + self._terms.life_loss * (lives < self._lives)
        shaped = np.where(begins, rewards, self._terms.scale * rewards + terms).astype(np.float32)
        self._lives, self._is_over = lives, np.logical_or(terminations, truncations)
        return observations, shaped, terminations, truncations, infos

    def _lives_left(self, infos: dict[str, Any]) -> np.ndarray:
        return np.array(infos.get(LIVES, np.zeros(self.num_envs)), dtype=np.int64)
