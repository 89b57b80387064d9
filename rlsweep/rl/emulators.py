"""Emulators that outlive their environment: loading a ROM takes about 70 ms for each game.

A trial's environment is closed with the trial, and the next one in the same process, or the next evaluation,
mostly asks for the same emulators. Seeded anew they play as new ones do; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

MAX_SPARE = 2
"""Closed sets of emulators that a process keeps: those of the training games and of the evaluation."""

_spare: dict[Hashable, VectorEnv] = {}


class Emulators(VectorWrapper):
    """Emulators of the same kind that an earlier environment has left, or new ones.

    Args:
        kind: everything that makes two sets of emulators exchangeable.
        make: makes new ones.
    """

    def __init__(self, kind: Hashable, make: Callable[[], VectorEnv]) -> None:
        left = _spare.pop(kind, None)
        super().__init__(left or make())
        self._kind = kind
        self._is_used = left is not None
        self._is_steady = True
        self._is_closed = False

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is None and self._is_used:  # else the games would go on from the earlier one's random state
            seed = int(np.random.default_rng().integers(2**30))
        self._is_used = False
        return super().reset(seed=seed, options=options)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self._is_steady = False
        result: tuple[Any, Any, Any, Any, dict[str, Any]] = super().step(actions)
        self._is_steady = True
        return result

    def close(self, **kwargs: Any) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if not self._is_steady:  # cut off in a step, whose results would be taken for the next one's
            super().close(**kwargs)
            return
        _spare[self._kind] = self.env
        if len(_spare) > MAX_SPARE:
            _spare.pop(next(iter(_spare))).close()
