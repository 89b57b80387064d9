"""RLlib's DQN with our replay: batches ready to train on, and exactly as many as the spec asks for."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQN, DQNConfig
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.policy.sample_batch import MultiAgentBatch
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    REPLAY_BUFFER_ADD_DATA_TIMER,
    REPLAY_BUFFER_RESULTS,
    REPLAY_BUFFER_SAMPLE_TIMER,
    REPLAY_BUFFER_UPDATE_PRIOS_TIMER,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TD_ERROR_KEY,
    TIMERS,
)
from ray.rllib.utils.numpy import convert_to_numpy

from rlsweep.rl.atari import FRAME_STACK
from rlsweep.rl.cores import side_by_side
from rlsweep.rl.prioritized_replay import PrioritizedReplay
from rlsweep.rl.replay import UniformReplay

UPDATES_PER_TRAINING_STEP = 8
MOST_ENV_STEPS_PER_TRAINING_STEP = 64
"""A training step of RLlib samples a fragment and then makes the updates that are due. Long ones spread the
cost of a step over many updates; in short ones the policy that acts is not far behind the one that learns."""

ROUNDING = 1e-9
"""What sums of fractions may lack of a whole update."""

REPLAYS = {"EpisodeReplayBuffer": UniformReplay, "PrioritizedEpisodeReplayBuffer": PrioritizedReplay}
"""RLlib's name of a replay buffer -> ours in its stead."""


class ReplayDQNConfig(DQNConfig):
    """DQNConfig with fragments of env steps that make several updates due at once."""

    def __init__(self, algo_class: type[DQN] | None = None) -> None:
        super().__init__(algo_class=algo_class or ReplayDQN)

    @property
    def replayed_per_env_step(self) -> float:
        """Transitions that are replayed for each env step: `training_intensity`, or RLlib's natural ratio."""
        if self.training_intensity:
            return float(self.training_intensity)
        natural_fragment: int = super().get_rollout_fragment_length() * self._num_envs
        return float(self.total_train_batch_size) / natural_fragment

    def get_rollout_fragment_length(self, worker_index: int = 0) -> int:
        shortest = int(super().get_rollout_fragment_length(worker_index))
        if self.rollout_fragment_length != "auto":
            return shortest
        wanted = UPDATES_PER_TRAINING_STEP * self.total_train_batch_size / self.replayed_per_env_step
        wanted = min(wanted, MOST_ENV_STEPS_PER_TRAINING_STEP)
        return max(shortest, int(wanted / self._num_envs + 0.5))

    @property
    def _num_envs(self) -> int:
        return int(self.num_envs_per_env_runner * max(1, self.num_env_runners))


class ReplayRatio:
    """How many updates are due after some env steps; what is left of one is kept for the next time.

    Args:
        replayed_per_env_step: transitions that are replayed for each env step, on average.
        batch_size: transitions in one update.
    """

    def __init__(self, replayed_per_env_step: float, batch_size: int) -> None:
        self._replayed_per_env_step, self._batch_size = replayed_per_env_step, batch_size
        self._owed = 0.0

    def updates(self, env_steps: int) -> int:
        """Updates that are due now that `env_steps` more have been sampled."""
        self._owed += env_steps * self._replayed_per_env_step
        due = math.floor(self._owed / self._batch_size + ROUNDING)
        self._owed -= due * self._batch_size
        return due


@dataclass(frozen=True)
class Sample:
    """A fragment from every environment, what the env runners say of it, and how long it took."""

    episodes: list[SingleAgentEpisode]
    results: list[dict[str, Any]]
    seconds: float


class ReplayDQN(DQN):
    """DQN (Mnih et al. 2015) on the new API stack.

    What differs from RLlib's `training_step`: the replay buffer gives train batches instead of episodes; the
    replay ratio is exact, where RLlib rounds to whole updates per fragment or whole fragments per update;
    learning starts when so many env steps lie in the buffer, also after a restart without it; results of the
    updates are reduced once per step. While it learns from one fragment it samples the next, so the policy
    that acts is one fragment behind.
    """

    @classmethod
    def get_default_config(cls) -> ReplayDQNConfig:
        return ReplayDQNConfig()

    def setup(self, config: AlgorithmConfig) -> None:
        super().setup(config)
        self.local_replay_buffer = make_replay(self.config.replay_buffer_config, self.config.seed)
        self._ahead: Sample | None = None
        self._ratio = ReplayRatio(self.config.replayed_per_env_step, self.config.total_train_batch_size)

    def training_step(self) -> None:
        replay = self.local_replay_buffer
        before = max(replay.get_added_timesteps(), self.config.num_steps_sampled_before_learning_starts)
        self._keep(self._ahead or self._sample())
        new_env_steps = max(0, replay.get_added_timesteps() - before)
        updates = self._ratio.updates(new_env_steps)
        _, self._ahead = side_by_side([partial(self._learn, updates, new_env_steps), self._sample])
        if updates:
            with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
                self._hand_out_weights()

    def _sample(self) -> Sample:
        """A fragment from every environment. Beside `_learn`: it touches the env runners and nothing else."""
        started = time.perf_counter()
        episodes, results = synchronous_parallel_sample(
            worker_set=self.env_runner_group,
            concat=True,
            sample_timeout_s=self.config.sample_timeout_s,
            _uses_new_env_runners=True,
            _return_metrics=True,
        )
        return Sample(episodes, results, time.perf_counter() - started)

    def _keep(self, sample: Sample) -> None:
        self.metrics.log_value((TIMERS, ENV_RUNNER_SAMPLING_TIMER), sample.seconds)
        self.metrics.aggregate(sample.results, key=ENV_RUNNER_RESULTS)
        with self.metrics.log_time((TIMERS, REPLAY_BUFFER_ADD_DATA_TIMER)):
            self.local_replay_buffer.add(sample.episodes)

    def _learn(self, updates: int, new_env_steps: int) -> None:
        """The updates that new env steps made due, each as of the env step at which it fell due: the target
        network and the schedules go by these."""
        if not updates:
            return
        replay, config = self.local_replay_buffer, self.config
        has_priorities = isinstance(replay, PrioritizedReplay)
        sampled = self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
        for update in range(updates):
            with self.metrics.log_time((TIMERS, REPLAY_BUFFER_SAMPLE_TIMER)):
                batch = replay.sample(
                    config.total_train_batch_size,
                    n_step=config.n_step,
                    gamma=config.gamma,
                    beta=config.replay_buffer_config.get("beta", 0.0),
                )
            is_last = update == updates - 1
            env_steps = sampled - new_env_steps + new_env_steps * (update + 1) // updates
            with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
                results = self.learner_group.update(
                    batch=MultiAgentBatch({DEFAULT_MODULE_ID: batch}, env_steps=len(batch)),
                    timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: env_steps},
                    _no_metrics_reduce=not (is_last or has_priorities),
                )
            if is_last or has_priorities:
                td_errors = _pop_td_errors(results)
                self.metrics.aggregate(results, key=LEARNER_RESULTS)
            if has_priorities:
                with self.metrics.log_time((TIMERS, REPLAY_BUFFER_UPDATE_PRIOS_TIMER)):
                    replay.update_priorities(td_errors)
        self.metrics.aggregate([replay.get_metrics()], key=REPLAY_BUFFER_RESULTS)

    def _hand_out_weights(self) -> None:
        """To all env runners. One in this process takes them as they are, not through Ray's object store."""
        group = self.env_runner_group
        if group.num_remote_workers():
            group.sync_weights(from_worker_or_learner_group=self.learner_group, inference_only=True)
            return
        weights = self.learner_group.get_state(
            components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}", inference_only=True
        )
        group.local_env_runner.set_state(weights[COMPONENT_LEARNER])


def make_replay(settings: Mapping[str, Any], seed: int | None) -> UniformReplay:
    """The replay buffer for RLlib's `replay_buffer_config`.

    Raises:
        ValueError: a type of buffer that is not in REPLAYS.
    """
    name = settings["type"]
    if name not in REPLAYS:
        raise ValueError(f"no replay buffer {name!r}; allowed: {', '.join(REPLAYS)}")
    arguments = {key: settings[key] for key in (FRAME_STACK,) if key in settings}
    if REPLAYS[name] is PrioritizedReplay and "alpha" in settings:
        arguments["alpha"] = settings["alpha"]
    return REPLAYS[name](int(settings["capacity"]), seed=seed, **arguments)


def _pop_td_errors(results: list[dict[str, Any]]) -> Any:
    """TD errors of all learners' shards in the order of the batch, taken out of what is reported."""
    found = [result[DEFAULT_MODULE_ID].pop(TD_ERROR_KEY) for result in results if result]
    return np.concatenate([np.asarray(convert_to_numpy(item.peek())).ravel() for item in found])
