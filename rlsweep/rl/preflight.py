"""What can go wrong in a trial, tried out before anything starts."""

from __future__ import annotations

import gymnasium

from rlsweep.errors import PreflightError
from rlsweep.plan import Plan, PlannedTrial
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.environments import make_playing_environment
from rlsweep.rl.networks import make_torso
from rlsweep.spec import EnvSpec, NetworkSpec


def check(plan: Plan, most: int | None = None) -> None:
    """Build every trial's AlgorithmConfig, and make each environment and network once.

    Args:
        plan: what is to run.
        most: AlgorithmConfigs that are built at most; all of them by default.

    Raises:
        PreflightError: the first thing that cannot be built.
    """
    tried: set[tuple[str, str, str]] = set()
    for index, trial in enumerate(plan.trials or [plan.example]):
        if most is None or index < most:
            build_config(trial.sweep, trial.seed, trial.resources)
        kind = (
            trial.sweep.env.model_dump_json(),
            trial.sweep.network.model_dump_json(),
            trial.sweep.algorithm,
        )
        if kind not in tried:
            tried.add(kind)
            _check_network(trial.sweep.env, trial.sweep.network, trial.sweep.algorithm)


def check_trial(trial: PlannedTrial) -> None:
    """Build one trial's AlgorithmConfig, environment and network.

    Raises:
        PreflightError: one of them cannot be built.
    """
    build_config(trial.sweep, trial.seed, trial.resources)
    _check_network(trial.sweep.env, trial.sweep.network, trial.sweep.algorithm)


def _check_network(env: EnvSpec, network: NetworkSpec, algorithm: str) -> None:
    environment = make_playing_environment(env, 1)
    try:
        actions = environment.single_action_space
        if algorithm == "dqn" and not isinstance(actions, gymnasium.spaces.Discrete):
            raise PreflightError(f"dqn needs discrete actions, {env.id} has {actions}", key="algorithm")
        make_torso(network, environment.single_observation_space.shape or ())
    except ValueError as error:
        raise PreflightError(str(error), key="network") from None
    finally:
        environment.close()
