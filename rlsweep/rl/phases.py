"""A phase of a curriculum in force: environments and hyperparameters that change while an Algorithm trains.

RLlib's way to change an environment is to change an env runner's `env_config` and call its `make_env()`; its
learners and modules read their schedules anew in each step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gymnasium.vector import SyncVectorEnv, VectorEnv
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.schedules.scheduler import Scheduler

from rlsweep.rl.environments import game_recorder
from rlsweep.spec import EnvSpec, Sweep

ENV = "env"
PHASE = "phase"
"""Keys of the env config: the EnvSpec, and the Phase where there is a curriculum."""

SET_PHASE = "set_phase"
"""Method of an environment that wants to be told: `set_phase(index)`, as TaskSettableEnv's `set_task`."""


@dataclass(frozen=True)
class Phase:
    """What differs from phase to phase.

    Attributes:
        index: position in `curriculum.phases`; None without a curriculum.
        entry: how many phases the trial has entered before.
        env: the environment.
        training: hyperparameters that differ from the spec's.
    """

    index: int | None
    entry: int
    env: EnvSpec
    training: Mapping[str, float] = field(default_factory=dict)


def phase_of(sweep: Sweep, index: int, entry: int) -> Phase:
    """The phase of a sweep at a position; without a curriculum, the sweep's own settings."""
    if sweep.curriculum is None:
        return Phase(None, entry, sweep.env)
    return Phase(index, entry, sweep.env_in_phase(index), sweep.curriculum.phases[index].training)


def tell_environment(env: VectorEnv, phase: Phase) -> None:
    """Let the games of a vector environment know in which phase they are."""
    game_recorder(env).phase_entry = phase.entry
    games = env.unwrapped
    if (
        phase.index is not None
        and isinstance(games, SyncVectorEnv)
        and games.envs[0].has_wrapper_attr(SET_PHASE)
    ):
        games.call(SET_PHASE, phase.index)


def enter_phase(env_runner: EnvRunner, phase: Phase) -> None:
    """Let an env runner sample in a phase from its next sample on.

    Where the environment's settings change, its games are started anew; where only others do, they go on.
    """
    if env_runner.env is None:  # it samples nothing
        return
    settings: dict[str, Any] = dict(env_runner.config.env_config)
    has_same_env = settings[ENV] == phase.env
    env_runner.config.env_config = {**settings, ENV: phase.env, PHASE: phase}
    if has_same_env:
        tell_environment(env_runner.env, phase)
    else:
        env_runner.make_env()
    if hasattr(env_runner.module, "epsilon_schedule"):
        epsilon = phase.training.get("epsilon", env_runner.config.epsilon)
        env_runner.module.epsilon_schedule = Scheduler(fixed_value_or_schedule=epsilon, framework="torch")
