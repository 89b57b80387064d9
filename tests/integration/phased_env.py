"""An environment with `set_phase`; a spec names it as `phased_env:Phased-v0`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

GAME_ENV_STEPS = 4


class Phased(gymnasium.Env[np.ndarray, int]):
    """A game of 4 env steps that gives `level` + the phase's index in each, whatever is done."""

    observation_space = gymnasium.spaces.Box(0, 100, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, level: float = 0.0, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._level, self._phase, self._left = level, 0, 0

    def set_phase(self, phase: int) -> None:
        self._phase = phase

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._left = GAME_ENV_STEPS
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._left -= 1
        reward = self._level + self._phase
        return np.full(2, self._left, np.float32), reward, self._left == 0, False, {}


gymnasium.register("Phased-v0", Phased)
