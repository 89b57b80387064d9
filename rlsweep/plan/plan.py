"""`make`: Sweep + Machine -> Plan. Pure: the same input gives the same plan, down to the trial ids."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from pydantic import ValidationError

from rlsweep.errors import Issue, Location, SpecError, nearest
from rlsweep.plan.resources import Machine, TrialResources, resolve
from rlsweep.plan.search import Values, configurations
from rlsweep.spec import Sweep, with_values
from rlsweep.spec.values import SWEPT
from rlsweep.store.rows import row_keys


@dataclass(frozen=True)
class PlannedTrial:
    """One configuration with one seed.

    Attributes:
        id: readable, and unique through a hash of configuration and seed; the folder's name.
        config_id: the same for all seeds of the configuration.
        values: the swept values by dotted path.
        seed: of environments, network and exploration.
        sweep: the spec with the values put in: all that the trial needs.
        resources: what it takes of the machine.
    """

    id: str
    config_id: str
    values: Values
    seed: int
    sweep: Sweep
    resources: TrialResources


@dataclass(frozen=True)
class Plan:
    """All that a sweep will run."""

    sweep: Sweep
    trials: tuple[PlannedTrial, ...]

    @property
    def env_steps(self) -> int:
        """Env steps of all trials if none stops early."""
        return sum(trial.sweep.stop.env_steps for trial in self.trials)

    def trial(self, trial_id: str) -> PlannedTrial:
        """The trial of that id.

        Raises:
            KeyError: the plan has none.
        """
        return {trial.id: trial for trial in self.trials}[trial_id]


def make(sweep: Sweep, machine: Machine) -> Plan:
    """Plan a sweep: every configuration once per seed, seeds outermost, so that all configurations
    have a first result early.

    Raises:
        SpecError: as `expand`.
        PreflightError: a trial does not fit on the machine.
    """
    found = expand(sweep)
    num_trials = len(found) * len(sweep.seeds)
    if sweep.resources.max_concurrent != "auto":
        num_trials = min(num_trials, sweep.resources.max_concurrent)
    trials = []
    for seed in sweep.seeds:
        for values, resolved in found:
            trials.append(
                PlannedTrial(
                    id=trial_id(values, seed),
                    config_id=config_id(values),
                    values=values,
                    seed=seed,
                    sweep=resolved,
                    resources=resolve(resolved.resources, resolved.algorithm, machine, num_trials),
                )
            )
    return Plan(sweep, tuple(trials))


def expand(sweep: Sweep) -> list[tuple[Values, Sweep]]:
    """Every configuration with the sweep that it stands for.

    Raises:
        SpecError: a combination of values that the spec does not take, an objective that no row has.
    """
    metrics = row_keys(sweep.algorithm)
    if sweep.objective.metric not in metrics:
        name = sweep.objective.metric
        where = Location("objective.metric")
        issue = Issue(where, f"no row has a key {name!r}", ", ".join(metrics), nearest(name, metrics))
        raise SpecError([issue])
    found = []
    for values in configurations(sweep.search):
        try:
            resolved = with_values(sweep, values)
        except ValidationError as error:
            message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise SpecError([Issue(Location(SWEPT), f"{config_id(values)}: {message}")]) from None
        _check_algorithm(resolved)
        found.append((values, resolved))
    return found


def _check_algorithm(sweep: Sweep) -> None:
    if sweep.algorithm == "dqn" and sweep.env.stacks_by_connector:
        message = "RLlib's frame-stacking connector leaves DQN's next observations unstacked"
        raise SpecError([Issue(Location("env.frame_stack_by"), message, "frame_stack_by: env")])


def config_id(values: Values) -> str:
    """A readable name of a configuration: `lr=0.00025,num_epochs=4`; `base` where nothing is swept."""
    names = {path: path.rsplit(".", 1)[-1] for path in values}
    ambiguous = len(set(names.values())) < len(names)
    parts = [f"{path if ambiguous else names[path]}={_short(value)}" for path, value in values.items()]
    return ",".join(parts) or "base"


def trial_id(values: Values, seed: int) -> str:
    """`lr=0.00025_seed0_5f0c9a1e`: safe as a folder name, at most 100 characters."""
    content = json.dumps({"values": values, "seed": seed}, sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9_=,.+-]+", "-", config_id(values))[:80]
    return f"{readable}_seed{seed}_{digest}"


def _short(value: object) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)
