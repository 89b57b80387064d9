"""DQN's replay buffers, under the interface of RLlib's for the new API stack.

One thing differs: a sample is the train batch itself, not a list of one-step episodes that connectors have to
put together again, item by item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.policy.sample_batch import SampleBatch
from ray.rllib.utils.metrics import (
    NUM_ENV_STEPS_ADDED_LIFETIME,
    NUM_ENV_STEPS_EVICTED_LIFETIME,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_STORED,
)
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger
from ray.rllib.utils.replay_buffers.base import ReplayBufferInterface

from rlsweep.rl.transitions import GOES_ON, TERMINATED, TRUNCATED, Returns, Transitions

NStep = int | Sequence[int]
"""Steps of a return; or the least and the most of them, drawn anew for each item."""

N_STEP = "n_step"
WEIGHTS = "weights"
"""Columns that RLlib's DQN loss reads beside those of `Columns`."""

DEFAULT_NUM_ITEMS = 32

SPARE_DRAWS = 8
"""More than are asked for: some observations are an episode's last, and no items."""

MAX_DRAWS = 1000
"""Draws in vain before it is clear that nothing can be drawn."""


class UniformReplay(ReplayBufferInterface):
    """The last `capacity` transitions, each as likely as the others (Mnih et al. 2015).

    Args:
        capacity: transitions that are held.
        frame_stack: frames in one observation, along its first axis; 1 where observations are no stacks.
        seed: of the draws.
    """

    def __init__(self, capacity: int, *, frame_stack: int = 1, seed: int | None = None) -> None:
        self.capacity = capacity
        self.metrics = MetricsLogger(root=False)
        self.last_sampled = np.empty(0, dtype=np.int64)
        """(n,) ids of the items of the last sample."""
        self._frame_stack = frame_stack
        self._rng = np.random.default_rng(seed)
        self._transitions: Transitions | None = None
        self._num_added = self._num_sampled = 0
        self._told: dict[str, int] = {}  # counts at the last `get_metrics`

    def __len__(self) -> int:
        return self._transitions.count if self._transitions else 0

    @property
    def nbytes(self) -> int:
        """Memory of all that is stored."""
        return self._transitions.nbytes if self._transitions else 0

    def add(self, batch: list[SingleAgentEpisode] | SingleAgentEpisode, **kwargs: Any) -> None:
        """Take in episodes, or chunks of them as env runners return them.

        Raises:
            ValueError: the observations are no stacks of `frame_stack` frames.
        """
        for episode in batch if isinstance(batch, list) else [batch]:
            if not len(episode):
                continue
            observations = np.asarray(episode.get_observations())
            actions, rewards = np.asarray(episode.get_actions()), np.asarray(episode.get_rewards())
            end = TERMINATED if episode.is_terminated else TRUNCATED if episode.is_truncated else GOES_ON
            stored = self._stored_as(observations, actions)
            self._note(stored, stored.append(episode.id_, observations, actions, rewards, end))
            self._num_added += len(rewards)

    def sample(
        self,
        num_items: int | None = None,
        *,
        n_step: NStep = 1,
        gamma: float = 0.99,
        beta: float = 0.0,
        **kwargs: Any,
    ) -> SampleBatch:
        """A train batch of B transitions.

        Args:
            num_items: B.
            n_step: steps of the returns; with a pair, both ends included. An item whose steps are not all
                there yet is not drawn, unless its episode has ended.
            gamma: discount.
            beta: exponent of the importance weights, where items have priorities.

        Returns:
            Columns as in RLlib's DQN loss: `obs`, `new_obs` (B, *shape); `actions`; `rewards` (B,), the
            discounted sums; `terminateds`, `truncateds` (B,); `n_step` (B,), the steps in each sum, which
            are fewer at an episode's end; `weights` (B,).

        Raises:
            ValueError: no transition has its n steps yet.
        """
        size = DEFAULT_NUM_ITEMS if num_items is None else num_items
        if self._transitions is None:
            raise ValueError("the replay buffer is empty")
        stored = self._transitions
        items, found = self._draw_complete(stored, size, n_step, gamma)
        self._num_sampled += size
        self.last_sampled = items
        return SampleBatch(
            {
                Columns.OBS: stored.ring.gather(items),
                Columns.NEXT_OBS: stored.ring.gather(found.last),
                Columns.ACTIONS: stored.actions[items % stored.ring.slots],
                Columns.REWARDS: found.rewards.astype(np.float32),
                Columns.TERMINATEDS: found.ends == TERMINATED,
                Columns.TRUNCATEDS: found.ends == TRUNCATED,
                N_STEP: found.steps.astype(np.float32),
                WEIGHTS: self._weights(stored, items, beta).astype(np.float32),
            }
        )

    def get_num_timesteps(self) -> int:
        """Transitions that are held."""
        return len(self)

    def get_added_timesteps(self) -> int:
        """Transitions that were ever added."""
        return self._num_added

    def get_sampled_timesteps(self) -> int:
        """Transitions that were ever drawn."""
        return self._num_sampled

    def get_metrics(self) -> Any:
        """RLlib's counts of the env steps that are stored, and that were ever added, evicted and sampled."""
        counts = self._counts()
        for name, count in counts.items():
            self.metrics.log_value(name, count - self._told.get(name, 0), reduce="lifetime_sum")
        self._told = counts
        self.metrics.log_value(NUM_ENV_STEPS_STORED, len(self), reduce="max")
        return self.metrics.reduce()

    def _counts(self) -> dict[str, int]:
        return {
            NUM_ENV_STEPS_ADDED_LIFETIME: self._num_added,
            NUM_ENV_STEPS_EVICTED_LIFETIME: self._num_added - len(self),
            NUM_ENV_STEPS_SAMPLED_LIFETIME: self._num_sampled,
        }

    def get_state(self) -> dict[str, Any]:
        """What is held, as named arrays. They are the buffer's own: write or copy them before it changes."""
        counts = {"counts": np.array([self._num_added, self._num_sampled])}
        return counts | (self._transitions.state() if self._transitions else {})

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Hold what `get_state` of a buffer gave, or the newest of it where this one is smaller.

        Episodes that were going on there do not go on here; draws are not those of the other buffer.
        """
        self._num_added, self._num_sampled = map(int, state["counts"])
        self._transitions = None
        if "frames" in state:
            frames, actions = state["frames"][:1], state["actions"][:1]
            is_stacked = self._frame_stack > 1
            observations = np.stack([frames] * self._frame_stack, axis=1) if is_stacked else frames
            stored = self._stored_as(observations, actions)
            stored.load(state)
        self._told = self._counts()  # RLlib's lifetime sums are restored too

    def _stored_as(self, observations: np.ndarray, actions: np.ndarray) -> Transitions:
        """The transitions; room for them is made when the first observation shows how large they are."""
        if self._transitions is None:
            self._transitions = Transitions(self.capacity, observations, actions, self._frame_stack)
        return self._transitions

    def _draw_complete(
        self, stored: Transitions, size: int, n_step: NStep, gamma: float
    ) -> tuple[np.ndarray, Returns]:
        """Items with all their steps. Those without are drawn anew; the others stay as likely as they are."""
        items, steps = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        for _ in range(MAX_DRAWS if len(self) else 0):
            drawn = self._draw(stored, size + SPARE_DRAWS)
            chosen = self._steps(n_step, len(drawn))
            is_good = stored.follow(drawn, chosen, gamma).are_complete
            items = np.append(items, drawn[is_good])[:size]
            steps = np.append(steps, chosen[is_good])[:size]
            if len(items) == size:
                return items, stored.follow(items, steps, gamma)
        raise ValueError(f"none of {len(self)} transitions in the replay buffer has {n_step} steps after it")

    def _steps(self, n_step: NStep, size: int) -> np.ndarray:
        if isinstance(n_step, int):
            return np.full(size, n_step)
        return self._rng.integers(n_step[0], n_step[1], size, endpoint=True)

    def _draw(self, stored: Transitions, size: int) -> np.ndarray:
        """At most `size` items, with what may turn out to be none left out."""
        drawn = self._rng.integers(stored.low, stored.ring.written, size)
        return np.asarray(drawn[stored.hold(drawn)])

    def _note(self, stored: Transitions, items: np.ndarray) -> None:
        """New items (ids) came in, and others may have gone."""

    def _weights(self, stored: Transitions, items: np.ndarray, beta: float) -> np.ndarray:
        """Importance weights of items, (n,) -> (n,)."""
        return np.ones(len(items))
