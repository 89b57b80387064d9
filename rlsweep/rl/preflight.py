"""What can go wrong in a trial, tried out before anything starts."""

from __future__ import annotations

from callbacks.worker.trial_callback import TrialFacts
from rlsweep.errors import PreflightError
from rlsweep.plan import Plan, PlannedTrial
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.callbacks import check_custom_keys, driver_callbacks
from rlsweep.rl.environments import Spaces, spaces_of
from rlsweep.rl.modules import NETWORK
from rlsweep.rl.size import network_of
from rlsweep.spec import EnvSpec, Sweep


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
            _check_parts(trial.sweep)


def check_trial(trial: PlannedTrial) -> None:
    """Build one trial's AlgorithmConfig, environment and network.

    Raises:
        PreflightError: one of them cannot be built.
    """
    build_config(trial.sweep, trial.seed, trial.resources)
    _check_parts(trial.sweep)


def _check_parts(sweep: Sweep) -> None:
    """Environment and network can be made, the phases fit them, callbacks say what is asked of them."""
    network, spaces = network_of(sweep)
    _check_phases(sweep, spaces)
    names = tuple(f"{NETWORK}.{name}" for name, _ in network.named_parameters())
    check_custom_keys(sweep, TrialFacts(sweep.algorithm, spaces.actions, names))


def _check_phases(sweep: Sweep, own: Spaces) -> None:
    """Every phase of a curriculum has the spaces of the spec's own environment."""
    for index, phase in enumerate(sweep.curriculum.phases if sweep.curriculum else ()):
        try:
            _check_same_spaces(own, sweep.env_in_phase(index))
        except PreflightError as error:
            key = f"curriculum.phases.{index}.env"
            raise PreflightError(f"phase {phase.name!r}: {error}", key=key) from None


def _check_same_spaces(wanted: Spaces, env: EnvSpec) -> None:
    for name, own, found in zip(Spaces._fields, wanted, spaces_of(env), strict=True):
        if own != found:
            hint = "; full_action_space: true gives all ALE games the same" if env.is_atari else ""
            raise PreflightError(f"its {name} are {found}, those of env are {own}{hint}")
