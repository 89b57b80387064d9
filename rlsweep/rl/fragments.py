"""What a vector environment went through since the last sample, as arrays; RLlib's episodes come out of it.

Rows are env steps of the whole vector: row r holds the observations o[r] and the transition to o[r + 1].
Episodes are cut out of the rows once per sample. Frame-stacked observations are kept as single frames and
come out as windows over them: the four frames of a stack are three-quarters copy.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer

_REWARD_SPACE = gymnasium.spaces.Box(-np.inf, np.inf, (), np.float32)


@dataclass(frozen=True)
class FinishedEpisode:
    """For the metrics: length in env steps, sum of the rewards the learner sees, seconds it took."""

    env_steps: int
    episode_return: float
    seconds: float


@dataclass
class Fragment:
    """One `cut`: episodes that ended, then chunks of those that go on, in the stock runner's order."""

    episodes: list[SingleAgentEpisode] = field(default_factory=list)
    finished: list[FinishedEpisode] = field(default_factory=list)


class StackedFramesBuffer(InfiniteLookbackBuffer):
    """An episode's frame-stacked observations (T, stack, *frame), pickled as T + stack - 1 single frames."""

    def single_frames(self, first: int = 0) -> list[np.ndarray]:
        """The frames (n, *frame) under the stacks from the `first` one on, views to be concatenated."""
        stacks: np.ndarray = self.data[first:]
        return [stacks[0], stacks[1:, -1]]

    def __reduce__(self) -> tuple[Any, ...]:
        frames = np.concatenate(self.single_frames())
        return _unpickle_stacked_frames, (frames, self.data.shape[1], self.lookback, self.space)


class Rows:
    """Rows of `num_envs` environments in NEXT_STEP autoreset mode.

    Args:
        observation_space, action_space: of a single environment.
        num_envs: environments stepped together.
        lookback: transitions of the sample before that a continued episode shows in its lookback buffers.
        frame_stack: frames of an observation (frame_stack, H, W[, 3]) of which each step adds the last and
            drops the first, but for the first observation of an episode; 1 where there is no such stack.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        num_envs: int,
        *,
        lookback: int,
        frame_stack: int = 1,
    ) -> None:
        self._observation_space, self._action_space = observation_space, action_space
        self._num_envs, self._lookback, self._frame_stack = num_envs, lookback, frame_stack

    def begin(self, observations: np.ndarray) -> None:
        """All environments have been reset: `observations` (num_envs, …) start an episode each."""
        self._frames = self._first_frames(observations)
        self._openings: dict[tuple[int, int], np.ndarray] = {}
        self._columns: dict[str, list[np.ndarray]] = {}
        self._times = [time.perf_counter()]
        self._old_rows = 0
        self._begins = np.zeros(self._num_envs, dtype=bool)
        self._starts = np.zeros(self._num_envs, dtype=np.int64)
        self._ids = [uuid.uuid4().hex for _ in range(self._num_envs)]
        self._returns = np.zeros(self._num_envs)
        self._started = np.full(self._num_envs, self._times[0])

    def add(
        self,
        observations: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        outputs: Mapping[str, np.ndarray],
    ) -> int:
        """One step of the vector: `outputs` (the actions among them) led to `observations`.

        Returns:
            The env steps in it; the step after an episode's end is a reset and none.
        """
        is_step = ~self._begins
        row = {
            **outputs,
            Columns.REWARDS: rewards,
            Columns.TERMINATEDS: terminated & is_step,
            Columns.TRUNCATEDS: truncated & is_step,
        }
        for name, values in row.items():
            self._columns.setdefault(name, []).append(values)
        self._times.append(time.perf_counter())
        if self._frame_stack > 1:
            for index in np.flatnonzero(self._begins):
                self._note_opening(int(index), observations[index])
            self._frames.append(observations[:, -1].copy())
        else:
            self._frames.append(observations)
        self._begins = row[Columns.TERMINATEDS] | row[Columns.TRUNCATEDS]
        return int(is_step.sum())

    def cut(self) -> Fragment:
        """Hand over what came since the last cut, and keep what the next one looks back on."""
        frames = np.stack(self._frames)
        columns = {name: np.stack(rows) for name, rows in self._columns.items()}
        ended = columns[Columns.TERMINATEDS] | columns[Columns.TRUNCATEDS]
        end = len(ended)
        fragment = Fragment()
        for row, index in np.argwhere(ended[self._old_rows :]):
            last = int(row) + self._old_rows
            fragment.episodes.append(self._chunk(int(index), last + 1, frames, columns))
            seconds = self._times[last + 1] - self._started[index]
            env_steps = last + 1 - int(self._starts[index])
            fragment.finished.append(FinishedEpisode(env_steps, float(self._returns[index]), seconds))
            self._start_episode(int(index), last + 2)
        for index in range(self._num_envs):
            if self._starts[index] < end:
                fragment.episodes.append(self._chunk(index, end, frames, columns))
        self._keep_last_rows(end)
        return fragment

    def _chunk(
        self, index: int, end: int, frames: np.ndarray, columns: Mapping[str, np.ndarray]
    ) -> SingleAgentEpisode:
        """The running episode of environment `index` from where the last cut was, up to row `end`."""
        start = int(self._starts[index])
        first = max(start, self._old_rows)
        lookback = min(self._lookback, first - max(start, 0))
        rows = slice(first - lookback, end)

        def buffer(data: Any, space: gymnasium.Space | None = None) -> InfiniteLookbackBuffer:
            return InfiniteLookbackBuffer(data, lookback, space)

        column = {name: values[rows, index] for name, values in columns.items()}
        rewards = column.pop(Columns.REWARDS)
        terminated, truncated = column.pop(Columns.TERMINATEDS), column.pop(Columns.TRUNCATEDS)
        self._returns[index] += rewards[lookback:].sum()
        data = self._observations(index, first - lookback, end + 1, frames)
        observations = buffer(data) if self._frame_stack == 1 else StackedFramesBuffer(data, lookback)
        return SingleAgentEpisode(
            id_=self._ids[index],
            observations=observations,
            observation_space=self._observation_space,
            infos=buffer([{} for _ in range(len(data))]),
            actions=buffer(column.pop(Columns.ACTIONS)),
            action_space=self._action_space,
            rewards=buffer(rewards, _REWARD_SPACE),
            terminated=bool(terminated[-1]),
            truncated=bool(truncated[-1]),
            extra_model_outputs={name: buffer(values) for name, values in column.items()},
            t_started=first - start,
            len_lookback_buffer=lookback,
        )

    def _observations(self, index: int, first: int, end: int, frames: np.ndarray) -> np.ndarray:
        """(end - first, *observation shape) of environment `index`, a view where it can be one."""
        stack, start = self._frame_stack, int(self._starts[index])
        if stack == 1:
            return frames[first:end, index]
        opening = self._openings.get((index, start))
        if opening is None or first >= start + stack - 1:
            return _windows(frames[first : end + stack - 1, index], stack)
        newest = frames[start + stack : end + stack - 1, index]
        return _windows(np.concatenate([opening, newest]), stack)[first - start :]

    def _first_frames(self, observations: np.ndarray) -> list[np.ndarray]:
        """Frames of one observation each; in front of them the older ones of the first stacks."""
        if self._frame_stack == 1:
            return [observations]
        return [observations[:, position].copy() for position in range(self._frame_stack)]

    def _note_opening(self, index: int, observation: np.ndarray) -> None:
        """Keep an episode's first stack where it does not go on from the frames before it: a new game."""
        older = range(1 - self._frame_stack, 0)
        if not all(np.array_equal(observation[i - 1], self._frames[i][index]) for i in older):
            self._openings[index, len(self._times) - 1] = observation.copy()

    def _start_episode(self, index: int, row: int) -> None:
        self._starts[index] = row
        self._ids[index] = uuid.uuid4().hex
        self._returns[index] = 0.0
        self._started[index] = self._times[min(row, len(self._times) - 1)]

    def _keep_last_rows(self, end: int) -> None:
        dropped = max(0, end - self._lookback)
        self._old_rows = end - dropped
        self._starts -= dropped
        self._frames = self._frames[dropped:]
        self._times = self._times[dropped:]
        self._columns = {name: rows[dropped:] for name, rows in self._columns.items()}
        self._openings = {
            (index, row - dropped): stack
            for (index, row), stack in self._openings.items()
            if row - dropped + self._frame_stack > 0
        }


def _unpickle_stacked_frames(
    frames: np.ndarray, stack: int, lookback: int, space: gymnasium.Space | None
) -> StackedFramesBuffer:
    return StackedFramesBuffer(_windows(frames, stack), lookback, space)


def _windows(frames: np.ndarray, stack: int) -> np.ndarray:
    """(T + stack - 1, *frame) -> (T, stack, *frame), a view."""
    return np.moveaxis(sliding_window_view(frames, stack, axis=0), -1, 1)
