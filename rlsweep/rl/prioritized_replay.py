"""Prioritized experience replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlsweep.rl.replay import UniformReplay
from rlsweep.rl.sum_tree import SumTree
from rlsweep.rl.transitions import Transitions

LEAST_PRIORITY = 1e-12
"""So that each item can be drawn, as in RLlib."""


class PrioritizedReplay(UniformReplay):
    """Transitions drawn in proportion to their TD errors to the power of alpha (Schaul et al. 2016).

    New ones have the largest priority that was ever seen. Call `update_priorities` after each sample.

    Args:
        alpha: 0 draws all alike, 1 in proportion to the errors.
        capacity, frame_stack, seed: as for UniformReplay.
    """

    def __init__(
        self, capacity: int, *, alpha: float = 0.6, frame_stack: int = 1, seed: int | None = None
    ) -> None:
        super().__init__(capacity, frame_stack=frame_stack, seed=seed)
        self._alpha = alpha
        self._largest = 1.0
        self._tree: SumTree | None = None
        self._cleared = 0  # older ids have no priority any more

    @property
    def nbytes(self) -> int:
        return super().nbytes + (self._tree.nbytes if self._tree else 0)

    def update_priorities(self, priorities: np.ndarray) -> None:
        """Give the items of the last sample new priorities.

        Args:
            priorities: (n,) TD errors, or losses, in the order of the sample. One that is no finite number
                leaves its item as it is, as the update without numbers that it belongs to leaves the weights.
        """
        if self._transitions is None or self._tree is None:
            return
        items = self.last_sampled
        priorities = np.maximum(np.abs(np.asarray(priorities, dtype=np.float64)), LEAST_PRIORITY)
        is_known = np.isfinite(priorities)
        self._largest = max(self._largest, float(priorities[is_known].max(initial=0.0)))
        is_set = is_known & self._transitions.hold(items)
        places = items[is_set] % self._transitions.ring.slots
        self._tree.set(places, priorities[is_set] ** self._alpha)

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        if self._tree is not None:
            leaves = np.arange(len(state["frames"]))
            state |= {"priorities": self._tree[leaves], "largest": np.array([self._largest])}
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self._tree, self._cleared = None, 0
        stored = self._transitions
        if stored is None:
            return
        self._largest = float(state["largest"][0]) if "largest" in state else 1.0
        held = np.arange(stored.low, stored.ring.written)
        items = held[stored.hold(held)]
        self._note(stored, items)
        if "priorities" in state and self._tree is not None:
            priorities = state["priorities"][items % len(state["priorities"])]
            self._tree.set(items % stored.ring.slots, priorities)

    def _note(self, stored: Transitions, items: np.ndarray) -> None:
        if self._tree is None:
            self._tree = SumTree(stored.ring.slots)
        gone = np.arange(max(self._cleared, stored.low - stored.ring.slots), stored.low)
        self._tree.set(gone % stored.ring.slots, 0.0)
        self._cleared = stored.low
        self._tree.set(items % stored.ring.slots, self._largest**self._alpha)

    def _draw(self, stored: Transitions, size: int) -> np.ndarray:
        """Plain draws, as RLlib's; Schaul et al. divide the mass into as many parts as there are items."""
        if self._tree is None:
            return np.empty(0, dtype=np.int64)
        places = self._tree.find(self._rng.random(size) * self._tree.total)
        slots, written = stored.ring.slots, stored.ring.written
        return written - 1 - (written - 1 - places) % slots

    def _weights(self, stored: Transitions, items: np.ndarray, beta: float) -> np.ndarray:
        """(N P(i))^-beta over the largest of all weights (section 3.4); N and the sum cancel out."""
        if self._tree is None:
            return np.ones(len(items))
        return (self._tree[items % stored.ring.slots] / self._tree.smallest) ** -beta
