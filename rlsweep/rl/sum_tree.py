"""Priorities in a binary tree of arrays: thousands of draws and changes by a few numpy calls each."""

from __future__ import annotations

import numpy as np


class SumTree:
    """Non-negative priorities of `size` leaves, drawn in proportion (Schaul et al. 2016, appendix B.2.1).

    Two arrays hold the tree level by level: node `i` has the children `2i` and `2i + 1`, the leaves come
    last. Each inner node is computed anew from its children, so rounding errors do not pile up.

    Args:
        size: number of leaves; all have priority 0 at first and are then never drawn.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._leaves = 1 << max(0, size - 1).bit_length()
        self._sums = np.zeros(2 * self._leaves)
        self._minima = np.full(2 * self._leaves, np.inf)

    @property
    def total(self) -> float:
        """The sum of all priorities."""
        return float(self._sums[1])

    @property
    def smallest(self) -> float:
        """The smallest priority above 0; infinity where there is none."""
        return float(self._minima[1])

    @property
    def nbytes(self) -> int:
        """Memory of both arrays."""
        return self._sums.nbytes + self._minima.nbytes

    def __getitem__(self, leaves: np.ndarray) -> np.ndarray:
        """Priorities of some leaves, (n,) -> (n,)."""
        return np.asarray(self._sums[self._leaves + leaves])

    def set(self, leaves: np.ndarray, priorities: np.ndarray | float) -> None:
        """Give leaves new priorities. Where a leaf stands twice, its last priority counts.

        Args:
            leaves: (n,) indices below `size`.
            priorities: (n,) or one for all.
        """
        nodes = self._leaves + leaves
        self._sums[nodes] = priorities
        self._minima[nodes] = np.where(self._sums[nodes] > 0, self._sums[nodes], np.inf)
        while len(nodes) and nodes[0] > 1:
            nodes = nodes >> 1
            if len(nodes) > 1:  # neighbours share their parents
                nodes = nodes[np.append(nodes[1:] != nodes[:-1], True)]
            left = nodes << 1
            self._sums[nodes] = self._sums[left] + self._sums[left + 1]
            self._minima[nodes] = np.minimum(self._minima[left], self._minima[left + 1])

    def find(self, masses: np.ndarray) -> np.ndarray:
        """The leaves on which masses fall when the priorities are laid side by side.

        Args:
            masses: (n,) in [0, total).

        Returns:
            (n,) leaf indices; none of them has priority 0.
        """
        nodes = np.ones(len(masses), dtype=np.int64)
        masses = masses.copy()
        for _ in range(self._leaves.bit_length() - 1):
            left = nodes << 1
            here = self._sums[left]
            # Rounding may push a mass past the last leaf that has a priority: it stays on the left of it.
            goes_right = (masses >= here) & (self._sums[left + 1] > 0)
            masses = np.where(goes_right, masses - here, masses)
            nodes = left + goes_right
        return nodes - self._leaves
