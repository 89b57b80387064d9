"""An environment that fails after some steps; a spec names it as `crashing_env:Crashing-v0`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import ray

CHUNK, MOST_HOARDED = 2**27, 2**33
"""Bytes of memory that are taken at a time, and in all if nobody ends it before."""


class Crashing(gymnasium.Env[np.ndarray, int]):
    """Fails at its step `crash_at`: it raises, kills its process, asks for too much memory at once or bit by
    bit, hangs, or gives rewards that are no numbers.

    Args:
        crash_at: env steps in one process; 0 for the moment in which a trial makes the environment.
        how: it fails: raise, kill, memory, hoard, hang or nan.
        once: path of a file that it makes when it fails, and fails no more while that is there.
    """

    observation_space = gymnasium.spaces.Box(0, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(
        self,
        crash_at: int = 50,
        how: str = "raise",
        once: str = "",
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = render_mode
        self._left = crash_at
        self._how = how
        self._once = Path(once) if once else None
        if not crash_at and ray.is_initialized() and ray.get_runtime_context().get_actor_id():
            self._fail()  # not where the driver looks whether it can be made

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._left -= 1
        if self._left < 0:
            self._fail()
        reward = np.nan if self._how == "nan" and self._left < 0 else 1.0
        return np.zeros(2, np.float32), reward, self._left % 10 == 0, False, {}

    def _fail(self) -> None:
        if self._once and self._once.exists():
            return
        if self._once:
            self._once.touch()
        match self._how:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "memory":
                bytearray(2**60)
            case "hoard":
                hoarded = [b"1" * CHUNK]
                while len(hoarded) * CHUNK < MOST_HOARDED:
                    hoarded.append(b"1" * CHUNK)
                    time.sleep(0.1)  # the node's memory is looked at four times a second
            case "hang":
                time.sleep(100_000)
            case "nan":
                return
        raise ValueError("the environment broke on purpose")


gymnasium.register("Crashing-v0", Crashing)
