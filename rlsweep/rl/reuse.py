"""Env-runner actors that can become another trial's in the same process.

Starting an env-runner actor costs seconds of imports; `rlsweep.rl.takeover` keeps the actors instead.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from rlsweep.rl.cores import use_cores

logger = logging.getLogger(__name__)

TAKEOVER_SECONDS = 60.0
"""An env runner that has not become the new trial's by then is replaced: it hangs in its environment."""

SPACES = "spaces"
"""Key of the env config that hands an env runner its spaces, in place of an environment."""

NUM_THREADS = "num_threads"
"""Key of the env config: threads of an env runner, of the emulators as of torch."""

Spaces = dict[str, Any]


class ReusableEnvRunner(SingleAgentEnvRunner):
    """RLlib's env runner, able to become another trial's in the same process.

    Ray restarts an actor that died as what it was created as, which may have been an earlier trial's. Such
    a one refuses every call of its Algorithm but `become`.
    """

    def __init__(self, *, config: AlgorithmConfig, **kwargs: Any) -> None:
        self._arguments = kwargs
        is_actor = bool(kwargs.get("worker_index"))
        self._may_be_stale = is_actor and ray.get_runtime_context().was_current_actor_reconstructed
        if is_actor:
            use_cores(config.env_config[NUM_THREADS])
        super().__init__(config=config, **kwargs)

    def apply(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._may_be_stale and func is not become:
            raise RuntimeError("this env runner was restarted and waits for its trial's configuration")
        return super().apply(func, *args, **kwargs)

    def become(self, config: AlgorithmConfig, **changes: Any) -> Spaces:
        """Be as if just constructed with this configuration; nothing of the old trial is left.

        Args:
            config: of the new trial.
            changes: constructor arguments that differ from this env runner's own.

        Returns:
            `get_spaces()` of the new environment.
        """
        arguments = {**self._arguments, **changes}
        self.stop()
        self.__dict__.clear()
        type(self).__init__(self, config=config, **arguments)
        self._may_be_stale = False
        return dict(self.get_spaces())

    def make_env(self) -> None:
        spaces = self.config.env_config.get(SPACES)
        if spaces is None:
            super().make_env()
        else:
            self.spaces = spaces


def become(env_runner: ReusableEnvRunner, config: AlgorithmConfig, **changes: Any) -> Spaces:
    """`env_runner.become(...)`, as what EnvRunnerGroup calls on each."""
    return env_runner.become(config, **changes)


@dataclass(frozen=True)
class EnvRunners:
    """The env-runner actors that an Algorithm leaves behind.

    Attributes:
        actors: in the order of their worker indices.
        shape: what the next configuration must ask for to take them over.
        creator: the group that started them; it holds what Ray needs to restart one.
    """

    actors: list[ActorHandle]
    shape: tuple[Any, ...]
    creator: EnvRunnerGroup

    def kill(self) -> None:
        """End the actors, so that their CPUs are free for others."""
        for actor in self.actors:
            ray.kill(actor)

    def become(self, config: AlgorithmConfig, **changes: Any) -> Spaces | None:
        """Let every actor become an env runner of `config`.

        Returns:
            The spaces of its environment; None where an actor is dead, hangs or refuses.
        """
        reference = ray.put(config)
        calls = [actor.become.remote(reference, **changes) for actor in self.actors]
        try:
            return dict(ray.get(calls, timeout=TAKEOVER_SECONDS)[0])
        except RayError as error:
            logger.warning("new env runners are started, the old ones are lost: %s", error)
            return None


def runner_shape(config: AlgorithmConfig) -> tuple[Any, ...]:
    """What makes env-runner actors exchangeable: their class, number and resources."""
    return (
        config.env_runner_cls,
        config.num_env_runners,
        config.num_cpus_per_env_runner,
        config.num_gpus_per_env_runner,
        config.custom_resources_per_env_runner,
    )
