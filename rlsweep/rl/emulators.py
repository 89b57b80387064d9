"""Emulators that outlive their environment: loading a ROM takes about 70 ms for each game.

A trial's environment is closed with the trial, and the next one in the same process, or the next evaluation,
mostly asks for the same emulators. Seeded anew they play as new ones do; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, ClassVar

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper


class Emulators(VectorWrapper):
    """Emulators of the same kind that an earlier environment has left, or new ones.

    Args:
        kind: everything that makes two sets of emulators exchangeable.
        make: makes new ones.

    Attributes:
        MAX_SPARE: closed sets of emulators that a process keeps: those of the training games and of the
            evaluation. They are the class's, because a module's own names are gone when Python ends and an
            environment that was left open is closed.
    """

    MAX_SPARE: ClassVar[int] = 2
    _spare: ClassVar[dict[Hashable, VectorEnv]] = {}

    def __init__(self, kind: Hashable, make: Callable[[], VectorEnv]) -> None:
        left = self._spare.pop(kind, None)
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
        self._spare[self._kind] = self.env
        if len(self._spare) > self.MAX_SPARE:
            self._spare.pop(next(iter(self._spare))).close()
