"""The last transitions of many environments, in flat arrays: what DQN replays."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rlsweep.rl.frame_ring import REACH, FrameRing

GOES_ON, TERMINATED, TRUNCATED = 0, 1, 2
"""What a step led to."""

TRANSITIONS_PER_EXTRA_SLOT = 20
"""An episode has one observation more than steps, and the first stack of a game has padding."""

SMALL_FRAME_BYTES = 1024
"""Below, slots cost little, and there are as many again as transitions: an episode may be one step long."""

COLUMNS = ("actions", "rewards", "ends", "next", "are_items")
"""Of `Transitions`, one value for each slot of the ring."""

MAX_TAILS = 64
"""Last observations of ended episodes that a new one may go on from: a lost life ends an episode, but not the
stack of frames."""


@dataclass(frozen=True)
class Returns:
    """What follows from n items, each (n,).

    Attributes:
        rewards: discounted sums.
        steps: how many rewards are in each.
        ends: what the last of these steps led to.
        last: ids of the observations after it.
        are_complete: whether all steps are there; where False, the rest means nothing.
    """

    rewards: np.ndarray
    steps: np.ndarray
    ends: np.ndarray
    last: np.ndarray
    are_complete: np.ndarray


class Transitions:
    """The last `capacity` transitions, by the ids of the observations that they start from.

    `next` leads from each to the observation that came after it, wherever that is stored, so chunks of
    episodes may come in any order. Ids grow with time: what an item leads to is never overwritten before it.

    Where episodes are so short that frames run out first, fewer than `capacity` transitions are held.

    Args:
        capacity: transitions.
        observations: (any, *shape) an example of the observations.
        actions: (any, *action shape) an example of the actions.
        frame_stack: frames in one observation, along its first axis; 1 where observations are no stacks.

    Raises:
        ValueError: the observations are no stacks of `frame_stack` frames.
    """

    def __init__(
        self, capacity: int, observations: np.ndarray, actions: np.ndarray, frame_stack: int = 1
    ) -> None:
        frame_bytes = observations[:1].nbytes // frame_stack
        extra = capacity if frame_bytes < SMALL_FRAME_BYTES else capacity // TRANSITIONS_PER_EXTRA_SLOT
        slots = capacity + extra + REACH
        self.capacity = capacity
        self.ring = FrameRing(slots, observations.shape[1:], observations.dtype, frame_stack)
        self.actions = np.zeros((slots, *actions.shape[1:]), dtype=actions.dtype)
        self.rewards = np.zeros(slots, dtype=np.float32)
        self.ends = np.zeros(slots, dtype=np.uint8)
        self.next = np.zeros(slots, dtype=np.int64)
        self.are_items = np.zeros(slots, dtype=bool)
        self.low = 0
        """No item is older."""
        self.count = 0
        self._open: dict[str, int] = {}  # episode -> its last observation, where nothing was done yet
        self._tails: deque[int] = deque(maxlen=MAX_TAILS)

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        columns = (self.actions, self.rewards, self.ends, self.next, self.are_items)
        return self.ring.nbytes + sum(column.nbytes for column in columns)

    def append(
        self, episode: str, observations: np.ndarray, actions: np.ndarray, rewards: np.ndarray, end: int
    ) -> np.ndarray:
        """Take in a chunk of an episode; the oldest transitions are forgotten in its stead.

        A chunk whose first observation is the last one of the chunk before goes on from there.

        Args:
            episode: its id.
            observations: (n + 1, *shape), with the one after the last step.
            actions: (n, *action shape).
            rewards: (n,).
            end: what the last step led to.

        Returns:
            (n or fewer,) ids of the new items; of a chunk longer than the buffer, the first are left out.
        """
        ids = self._store(episode, observations)
        items, is_held = ids[:-1], ids[:-1] >= self.low
        places = items[is_held] % self.ring.slots
        self.actions[places] = actions[is_held]
        self.rewards[places] = rewards[is_held]
        self.ends[places] = GOES_ON
        self.next[places] = ids[1:][is_held]
        self.are_items[places] = True
        self.count += len(places)
        if end == GOES_ON:
            self._open[episode] = int(ids[-1])
        else:
            self.ends[ids[-2] % self.ring.slots] = end
            self._tails.append(int(ids[-1]))
        self._forget(self._low_for_capacity())
        return items[items >= self.low]

    def hold(self, ids: np.ndarray) -> np.ndarray:
        """Which ids are those of items, (n,) -> (n,)."""
        return (ids >= self.low) & self.are_items[ids % self.ring.slots]  # type: ignore[no-any-return]

    def follow(self, items: np.ndarray, steps: np.ndarray, gamma: float) -> Returns:
        """Returns of several steps (Sutton 1988; Hessel et al. 2018, "multi-step learning").

        A return ends with its episode: at a terminal state nothing is left to bootstrap from, at a truncated
        one the last observation is, after as many steps as there were.

        Args:
            items: (n,) ids that are held.
            steps: (n,) of each return, 1 or more.
            gamma: discount.
        """
        at, is_complete = items.copy(), np.ones(len(items), dtype=bool)
        rewards, ends = np.zeros(len(items)), np.zeros(len(items), dtype=np.uint8)
        taken = np.zeros(len(items), dtype=np.int64)
        for step in range(int(steps.max(initial=0))):
            places = at % self.ring.slots
            goes = (step < steps) & (ends == GOES_ON) & is_complete
            is_complete &= ~goes | self.are_items[places]
            goes &= is_complete
            rewards += goes * (gamma**step * self.rewards[places])
            taken += goes
            ends = np.where(goes, self.ends[places], ends)
            at = np.where(goes, self.next[places], at)
        return Returns(rewards, taken, ends, at, is_complete)

    def state(self) -> dict[str, np.ndarray]:
        """All that is held, as arrays; they are the buffer's own, not copies of it."""
        used = min(self.ring.written, self.ring.slots)
        position = np.array([self.ring.written, self.low])
        frames, history = self.ring.frames[:used], self.ring.history[:used]
        columns = {name: getattr(self, name)[:used] for name in COLUMNS}
        return {"position": position, "frames": frames, "history": history, **columns}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Hold what another buffer held, or the newest of it. The episodes that went on there do not here."""
        written, low = map(int, state["position"])
        held = np.arange(max(0, written - min(self.ring.slots, len(state["frames"]))), written)
        places, sources = held % self.ring.slots, held % len(state["frames"])
        targets = {"frames": self.ring.frames, "history": self.ring.history}
        targets |= {name: getattr(self, name) for name in COLUMNS}
        for name, target in targets.items():
            target[places] = state[name][sources]
        self.ring.written = written
        self.low = max(low, self.ring.low)
        self.are_items[held[held < self.low] % self.ring.slots] = False
        self.count = int(np.count_nonzero(self.are_items[places]))
        self._forget(self._low_for_capacity())
        self._open.clear()
        self._tails.clear()

    def _store(self, episode: str, observations: np.ndarray) -> np.ndarray:
        """Observations of a chunk -> their ids. What the ring overwrites is forgotten."""
        first = self._known(self._open.pop(episode, None), observations[0])
        if first is not None:
            ids, rest = [np.array([first])], observations[1:]
        else:
            ids, rest = [], observations
        after = first if first is not None else self._tail_before(observations[0])
        for start in range(0, len(rest), self.ring.most_at_once):
            ids.append(self.ring.append(rest[start : start + self.ring.most_at_once], after))
            after = int(ids[-1][-1])
            self._forget(self.ring.low)
        return np.concatenate(ids)

    def _known(self, last: int | None, observation: np.ndarray) -> int | None:
        """The last observation of the chunk before, if it is held and this is it."""
        if last is None or last < self.low:
            return None
        return last if np.array_equal(self.ring.gather(np.array([last]))[0], observation) else None

    def _tail_before(self, observation: np.ndarray) -> int | None:
        """The end of an episode from which a new one goes on."""
        for tail in reversed(self._tails):
            if self.ring.follows(observation, tail):
                self._tails.remove(tail)
                return tail
        return None

    def _low_for_capacity(self) -> int:
        """The id from which on `capacity` items are held."""
        excess, low = self.count - self.capacity, self.low
        while excess > 0:
            ids = np.arange(low, low + excess)
            excess -= int(np.count_nonzero(self.are_items[ids % self.ring.slots]))
            low += len(ids)
        return low

    def _forget(self, low: int) -> None:
        if low > self.low:
            places = np.arange(self.low, low) % self.ring.slots
            self.count -= int(np.count_nonzero(self.are_items[places]))
            self.are_items[places] = False
            self.low = low
