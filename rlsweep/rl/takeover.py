"""Env-runner actors that outlive their trial.

RLlib starts its env-runner actors anew for every Algorithm. Here the next trial's Algorithm takes over the
actors of the one before, where they have the same shape, and each actor becomes the env runner that RLlib
would have started: everything of the old one is dropped and its constructor runs again.
"""

from __future__ import annotations

import functools
from typing import Any

import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.appo import APPO
from ray.rllib.algorithms.impala import IMPALA
from ray.rllib.algorithms.ppo import PPO
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE
from ray.rllib.core.learner.learner import Learner
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.utils import force_list

from rlsweep.rl.coefficients import put_in_force
from rlsweep.rl.dqn import ReplayDQN
from rlsweep.rl.phases import Phase, enter_phase
from rlsweep.rl.reuse import SPACES, TAKEOVER_SECONDS, EnvRunners, Spaces, become, runner_shape


class ReusingAlgorithm(Algorithm):
    """An Algorithm that takes over the env-runner actors of another one, and can leave its own behind.

    A class of its own between RLlib's algorithms and their base, so that it surrounds what the base builds
    and nothing else: `class ReusingPPO(PPO, ReusingAlgorithm)`.

    Args:
        config: of the trial.
        env_runners: left by the Algorithm before. They are killed where they do not fit.
        kwargs: of Algorithm.
    """

    config: AlgorithmConfig
    env_runner_group: Any
    evaluation_config: Any
    learner_group: Any
    callbacks: list[RLlibCallback]
    _env_runners: EnvRunners | None
    _asked: AlgorithmConfig
    _phase: Phase | None = None
    _num_restored = 0

    def __init__(
        self, config: AlgorithmConfig, *, env_runners: EnvRunners | None = None, **kwargs: Any
    ) -> None:
        self._env_runners = env_runners
        super().__init__(config, **kwargs)

    def take_restarts(self) -> int:
        """How many env runners have come back since this was asked last."""
        restarts, self._num_restored = self._num_restored, 0
        return restarts

    def release_env_runners(self) -> EnvRunners | None:
        """Part with the env-runner actors; `stop()` then leaves them alive.

        Returns:
            None where there are none that can be reused; then `stop()` ends them.
        """
        group = self.env_runner_group
        handles = dict(
            group.foreach_env_runner(
                lambda runner: (runner.worker_index, ray.get_runtime_context().current_actor),
                local_env_runner=False,
                timeout_seconds=TAKEOVER_SECONDS,
            )
        )
        if not handles or len(handles) < self.config.num_env_runners:
            return None
        creator = self._env_runners.creator if self._env_runners else group
        self.env_runner_group = None
        actors = [handles[index] for index in sorted(handles)]
        return EnvRunners(actors, runner_shape(self.config), creator)

    def setup(self, config: AlgorithmConfig) -> None:
        self._env_runners, spaces = self._take_over()
        if self._env_runners is not None:
            self._asked = self.config
            self.config = _without_actors(self.config, spaces)
        super().setup(config)

    def enter_phase(self, phase: Phase, env_steps: int) -> None:
        """Sample and learn in a phase of a curriculum from now on; env runners that restart do so too.

        Args:
            phase: without a curriculum, the settings of the config.
            env_steps: of the trial, where schedules stand.
        """
        self._phase = phase
        self.env_runner_group.foreach_env_runner(functools.partial(enter_phase, phase=phase))
        put = functools.partial(put_in_force, values=phase.training, env_steps=env_steps)
        for answer in self.learner_group.foreach_learner(put):
            answer.get()  # raises what went wrong there

    def complete_takeover(self) -> None:
        """Join what was built with the env runners that were taken over; all is then as RLlib builds it."""
        if self._env_runners is None:
            return
        asked = self._asked
        self._put_in_force(asked)
        self.callbacks = self.callbacks[1:]
        self.env_runner_group.reset(self._env_runners.actors)
        module = f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}"
        state = self.learner_group.get_state(components=module, inference_only=True)
        self.env_runner_group.sync_env_runner_states(
            config=asked, env_steps_sampled=0, rl_module_state=state[COMPONENT_LEARNER]
        )

    def restore_env_runners(self, env_runner_group: EnvRunnerGroup) -> list[int]:
        """Restarted env runners become this trial's before RLlib takes them back into service."""
        everybody = range(1, env_runner_group.num_remote_env_runners() + 1)
        lost = sorted(set(everybody) - set(env_runner_group.healthy_env_runner_ids()))
        if lost:
            env_runner_group.foreach_env_runner(
                become,
                kwargs={"config": self.config, **self._changes},
                local_env_runner=False,
                healthy_only=False,
                remote_worker_ids=lost,
                timeout_seconds=self.config.env_runner_health_probe_timeout_s,
            )
        restored = list(super().restore_env_runners(env_runner_group))
        self._num_restored += len(restored)
        if restored and self._phase is not None:
            env_runner_group.foreach_env_runner(
                functools.partial(enter_phase, phase=self._phase),
                local_env_runner=False,
                remote_worker_ids=restored,
            )
        return restored

    @property
    def _changes(self) -> dict[str, Any]:
        return {
            "env_creator": self.env_creator,
            "log_dir": self.logdir,
            "tune_trial_id": self.trial_id,
        }

    def _take_over(self) -> tuple[EnvRunners | None, Spaces]:
        """The env runners that are taken over, and their spaces; none where new ones must be started."""
        offered = self._env_runners
        if offered is None:
            return None, {}
        fits = offered.shape == runner_shape(self.config)
        spaces = offered.become(self.config, **self._changes) if fits else None
        if spaces is None:
            offered.kill()
            return None, {}
        return offered, spaces

    def _put_in_force(self, config: AlgorithmConfig) -> None:
        """All that was built holds the configuration that was asked for, as after RLlib's own setup."""
        self.config = config
        self.evaluation_config = config.get_evaluation_config_object()
        self.evaluation_config.validate()
        self.evaluation_config.freeze()
        local = self.env_runner_group.local_env_runner
        local.config, local.num_workers = config.copy(copy_frozen=False), config.num_env_runners
        self.learner_group.config = config.copy(copy_frozen=False)
        self.learner_group.foreach_learner(functools.partial(_set_config, config=config))


class _CompletesTakeover(RLlibCallback):
    """The first of the callbacks, so that the others find the Algorithm as RLlib would have built it."""

    def on_algorithm_init(self, *, algorithm: ReusingAlgorithm, **kwargs: Any) -> None:
        algorithm.complete_takeover()


class ReusingPPO(PPO, ReusingAlgorithm):
    """PPO that takes over env runners."""


class ReusingIMPALA(IMPALA, ReusingAlgorithm):
    """IMPALA that takes over env runners."""


class ReusingAPPO(APPO, ReusingAlgorithm):
    """APPO that takes over env runners."""


class ReusingDQN(ReplayDQN, ReusingAlgorithm):
    """DQN that takes over env runners."""


ALGORITHM_CLASSES: dict[str, type[ReusingAlgorithm]] = {
    "ppo": ReusingPPO,
    "impala": ReusingIMPALA,
    "appo": ReusingAPPO,
    "dqn": ReusingDQN,
}


def _without_actors(config: AlgorithmConfig, spaces: Spaces) -> AlgorithmConfig:
    """The configuration with which RLlib starts no env-runner actors and makes no environment here."""
    without = config.copy(copy_frozen=False)
    without.callbacks([_CompletesTakeover, *force_list(config.callbacks_class)])
    without.num_env_runners = 0
    without.env_config = {**config.env_config, SPACES: spaces}
    without.freeze()
    return without


def _set_config(learner: Learner, config: AlgorithmConfig) -> None:
    learner.config = config.copy(copy_frozen=False)
