"""Observations of stacked frames, each frame stored once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

REACH = 1024
"""How many ids back the frames of one observation may lie. What is older is forgotten so many ids before it
is overwritten, hence no observation ever loses a frame. At least the length of a stack."""

MOST_AT_ONCE = 256
"""Stacks of a long episode that are compared at once, a few megabytes."""


class FrameRing:
    """A ring of frames, and for each observation the ids of the frames that it consists of.

    A stack of four frames is three quarters copy of the observation before. So a frame gets an id (they
    count up and never repeat; id modulo `slots` is its place) and is stored once; an observation goes by the
    id of its newest frame, beside which the ids of all its frames stand. Environments that are stepped side
    by side need no rings of their own, because a stack need not lie in one piece.

    Args:
        slots: frames that are held.
        shape: of one observation: (stack, *frame shape), or any shape where `stack` is 1.
        dtype: of the observations.
        stack: frames in one observation, along its first axis; 1 keeps observations whole.

    Raises:
        ValueError: the observations are no stacks of `stack` frames.
    """

    def __init__(self, slots: int, shape: Sequence[int], dtype: Any, stack: int = 1) -> None:
        if stack > 1 and (len(shape) < 2 or shape[0] != stack):
            raise ValueError(f"observations of shape {tuple(shape)} are no stacks of {stack} frames")
        self.slots, self.stack, self.shape = slots, stack, tuple(shape)
        self.written = 0
        self.frames = np.zeros((slots, *(shape[1:] if stack > 1 else shape)), dtype=dtype)
        self.history = np.zeros((slots, stack), dtype=np.int64)

    @property
    def low(self) -> int:
        """The least id whose observation is sure to have all its frames."""
        return max(0, self.written - self.slots + REACH)

    @property
    def most_at_once(self) -> int:
        """Observations for one `append`, which must not overwrite its own frames, and compares them all."""
        return max(1, min(MOST_AT_ONCE, (self.slots - REACH) // (2 * self.stack)))

    @property
    def nbytes(self) -> int:
        """Memory of frames and their ids."""
        return self.frames.nbytes + self.history.nbytes

    def append(self, observations: np.ndarray, after: int | None = None) -> np.ndarray:
        """Store observations that follow one another.

        Where an observation goes on from the one before it by one frame, that frame alone is stored. Where
        it does not (a new game, whatever it pads with), all its frames are.

        Args:
            observations: (n, *shape).
            after: id of the observation right before the first one, if that is stored.

        Returns:
            (n,) the observations' ids.
        """
        ids = np.empty(len(observations), dtype=np.int64)
        goes_on = self._goes_on(observations, after)
        breaks = [*np.flatnonzero(~goes_on), len(observations)]
        first = 0
        for end in breaks:  # a run of observations that go on, then one that does not
            if end > first:
                before = ids[first - 1] if first else after
                ids[first:end] = self._append_run(observations[first:end], before)
            if end < len(observations):
                ids[end] = self._append_whole(observations[end])
            first = end + 1
        return ids

    def gather(self, ids: np.ndarray) -> np.ndarray:
        """Observations by their ids, (n,) -> (n, *shape), contiguous."""
        if self.stack > 1:
            ids = self.history[ids % self.slots].ravel()
        # "clip" copies row by row into place; the default checks and buffers.
        found = self.frames.take(ids % self.slots, axis=0, mode="clip")
        return found.reshape(-1, *self.shape)

    def follows(self, observation: np.ndarray, before: int) -> bool:
        """Whether an observation (*shape) goes on by one frame from a stored one."""
        if self.stack == 1 or not self._is_in_reach(before):
            return False
        kept = self.history[before % self.slots, 1:] % self.slots
        newest_first = zip(kept[::-1], observation[-2::-1], strict=True)
        return all(np.array_equal(self.frames[slot], frame) for slot, frame in newest_first)

    def _goes_on(self, observations: np.ndarray, after: int | None) -> np.ndarray:
        if self.stack == 1:
            return np.ones(len(observations), dtype=bool)
        found = np.zeros(len(observations), dtype=bool)
        if len(observations):
            found[0] = after is not None and self.follows(observations[0], after)
            same = observations[1:, :-1] == observations[:-1, 1:]
            found[1:] = same.reshape(len(found) - 1, math.prod(same.shape[1:])).all(axis=1)
        return found

    def _is_in_reach(self, before: int) -> bool:
        """Whether the next frame may be stacked on the frames of an observation."""
        oldest = self.history[before % self.slots, min(1, self.stack - 1)]
        return before >= self.low and bool(self.written - oldest <= REACH)

    def _append_run(self, observations: np.ndarray, before: int | None) -> np.ndarray:
        if self.stack == 1:
            ids = self._write(observations)
            self.history[ids % self.slots, 0] = ids
            return ids
        kept = self.history[before % self.slots, 1:] if before is not None else np.empty(0, np.int64)
        ids = self._write(observations[:, -1])
        all_ids = np.concatenate([kept, ids])
        self.history[ids % self.slots] = np.lib.stride_tricks.sliding_window_view(all_ids, self.stack)
        return ids

    def _append_whole(self, observation: np.ndarray) -> int:
        """Store a whole stack and return its id. Padding that repeats a frame is stored once."""
        pairs = zip(observation[1:-1], observation[:-2], strict=True)
        is_new = np.array([True, *(not np.array_equal(frame, last) for frame, last in pairs), True])
        written = self._write(observation[is_new])
        ids = written[np.cumsum(is_new) - 1]
        self.history[ids[-1] % self.slots] = ids
        return int(ids[-1])

    def _write(self, frames: np.ndarray) -> np.ndarray:
        ids = np.arange(self.written, self.written + len(frames))
        self.frames[ids % self.slots] = frames
        self.written += len(frames)
        return ids
