"""An environment that fails after some steps; a spec names it as `crashing_env:Crashing-v0`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np


class Crashing(gymnasium.Env[np.ndarray, int]):
    """Counts its steps and fails at `crash_at`."""

    observation_space = gymnasium.spaces.Box(0, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, crash_at: int = 50, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._left = crash_at

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._left -= 1
        if self._left < 0:
            raise ValueError("the environment broke on purpose")
        return np.zeros(2, np.float32), 1.0, self._left % 10 == 0, False, {}


gymnasium.register("Crashing-v0", Crashing)
