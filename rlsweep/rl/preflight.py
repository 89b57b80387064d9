"""What can go wrong in a trial, tried out before anything starts."""

from __future__ import annotations

import gymnasium

from callbacks.worker.trial_callback import TrialFacts
from rlsweep.errors import PreflightError
from rlsweep.plan import Plan, PlannedTrial
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.callbacks import check_custom_keys, driver_callbacks
from rlsweep.rl.environments import make_playing_environment
from rlsweep.rl.modules import NETWORK
from rlsweep.rl.networks import make_torso
from rlsweep.rl.size import network_of
from rlsweep.spec import EnvSpec, NetworkSpec, Sweep


def check(plan: Plan, most: int | None = None) -> None:
    """Build every trial's AlgorithmConfig, and make each environment, network and callback once.

    Args:
        plan: what is to run.
        most: AlgorithmConfigs that are built at most; all of them by default.

    Raises:
        PreflightError: the first thing that cannot be built.
    """
    driver_callbacks(plan.sweep.callbacks)
    tried: set[tuple[str, ...]] = set()
    for index, trial in enumerate(plan.trials or [plan.example]):
        if most is None or index < most:
            build_config(trial.sweep, trial.seed, trial.resources)
        sections = (trial.sweep.env, trial.sweep.network, trial.sweep.curriculum)
        kind = (trial.sweep.algorithm, *(one.model_dump_json() if one else "" for one in sections))
        if kind not in tried:
            tried.add(kind)
            _check_network(trial.sweep.env, trial.sweep.network, trial.sweep.algorithm)
            _check_phases(trial.sweep)
            _check_custom_keys(trial.sweep)


def check_trial(trial: PlannedTrial) -> None:
    """Build one trial's AlgorithmConfig, environment and network.

    Raises:
        PreflightError: one of them cannot be built.
    """
    build_config(trial.sweep, trial.seed, trial.resources)
    _check_network(trial.sweep.env, trial.sweep.network, trial.sweep.algorithm)
    _check_phases(trial.sweep)
    _check_custom_keys(trial.sweep)


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


def _check_custom_keys(sweep: Sweep) -> None:
    """What is asked of callbacks, some callback says."""
    if sweep.callbacks:
        network, actions = network_of(sweep)
        names = tuple(f"{NETWORK}.{name}" for name, _ in network.named_parameters())
        check_custom_keys(sweep, TrialFacts(sweep.algorithm, actions, names))


def _check_phases(sweep: Sweep) -> None:
    """Every phase of a curriculum has the spaces of the spec's own environment."""
    for index, phase in enumerate(sweep.curriculum.phases if sweep.curriculum else ()):
        try:
            _check_same_spaces(sweep.env, sweep.env_in_phase(index))
        except PreflightError as error:
            key = f"curriculum.phases.{index}.env"
            raise PreflightError(f"phase {phase.name!r}: {error}", key=key) from None


def _check_same_spaces(base: EnvSpec, env: EnvSpec) -> None:
    for name, own, found in zip(("observations", "actions"), _spaces(base), _spaces(env), strict=True):
        if own != found:
            hint = "; full_action_space: true gives all ALE games the same" if env.is_atari else ""
            raise PreflightError(f"its {name} are {found}, those of env are {own}{hint}")


def _spaces(env: EnvSpec) -> tuple[gymnasium.Space, gymnasium.Space]:
    environment = make_playing_environment(env, 1)
    try:
        return environment.single_observation_space, environment.single_action_space
    finally:
        environment.close()
