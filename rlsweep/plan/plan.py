"""`make`: Sweep + Machine -> Plan. Pure: the same input gives the same plan, down to the trial ids."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from rlsweep.errors import Issue, Location, SpecError
from rlsweep.plan.machine import Machine
from rlsweep.plan.resources import resolve
from rlsweep.plan.samplers import value_sampler
from rlsweep.plan.search import configurations
from rlsweep.plan.space import Space, Values
from rlsweep.plan.trial_resources import TrialResources
from rlsweep.spec import Sweep
from rlsweep.spec.check import words
from rlsweep.spec.rules import trial_rules
from rlsweep.spec.values import SWEPT, data_with_values
from rlsweep.store.manifest import ENV_ID, TRIAL

_TRIED_CONFIGURATIONS = 100
"""Configurations that are drawn to see whether a space holds some that cannot be."""


@dataclass(frozen=True)
class PlannedTrial:
    """One configuration with one seed.

    Attributes:
        id: readable, and unique through a hash of configuration and seed; the folder's name.
        config_id: the same for all seeds and games of the configuration.
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

    @property
    def tune_config(self) -> dict[str, Any]:
        """All that Tune is told of it; the rest stands in the plan."""
        return {TRIAL: {"id": self.id, "values": self.values, "seed": self.seed}}


@dataclass(frozen=True)
class Plan:
    """All that a sweep will run.

    Attributes:
        sweep: the spec.
        machine: that the resources are fixed for.
        trials: every trial of a search that is listed; none of one that learns.
        num_configurations: in all; of a search that learns, at most.
    """

    sweep: Sweep
    machine: Machine
    trials: tuple[PlannedTrial, ...]
    num_configurations: int

    @property
    def num_trials(self) -> int:
        """Trials in all, without those that confirm the winner."""
        total = self.num_configurations * len(self.sweep.seeds)
        return min(total, self.sweep.budget.trials or total)

    def trial(self, values: Values, seed: int) -> PlannedTrial:
        """One trial of this sweep, whether it is listed or not.

        Raises:
            SpecError: the spec does not take the values.
            PreflightError: the trial does not fit on the machine.
        """
        resolved = realize(self.sweep, values)
        is_own = resolved.resources != self.sweep.resources
        resources = self._resolve(resolved) if is_own else self._base_resources
        name = config_id({path: values[path] for path in values if path != ENV_ID or not self.sweep.games})
        return PlannedTrial(trial_id(values, seed), name, values, seed, resolved, resources)

    def _resolve(self, resolved: Sweep) -> TrialResources:
        return resolve(resolved, self.machine, self.trials_at_once)

    @cached_property
    def _base_resources(self) -> TrialResources:
        return self._resolve(self.sweep)

    @cached_property
    def example(self) -> PlannedTrial:
        """The first trial; of a search that learns, the spec's own values."""
        return self.trials[0] if self.trials else self.trial({}, self.sweep.seeds[0])

    @property
    def resources(self) -> TrialResources:
        """What a trial takes; where swept values change it, what the first one takes."""
        return self.example.resources

    @cached_property
    def max_concurrent(self) -> int:
        """How many trials the machine holds at once, at most as many as the spec wants."""
        return self.max_concurrent_on(self.machine)

    def max_concurrent_on(self, machine: Machine) -> int:
        """How many of these trials, as they are, another machine holds at once."""
        resources = {trial.resources for trial in self.trials} or {self.resources}
        return min(len(one.place(machine, self.trials_at_once)) for one in resources)

    @property
    def trials_at_once(self) -> int:
        """How many trials the spec wants at once, among which `auto` shares the machine."""
        most = self.sweep.resources.max_concurrent
        return self.num_trials if most == "auto" else min(self.num_trials, most)


def make(sweep: Sweep, machine: Machine) -> Plan:
    """Plan a sweep: every configuration once per seed, seeds outermost, so that all configurations
    have a first result early.

    Raises:
        SpecError: a combination of values that the spec does not take.
        PreflightError: a trial can never be placed on the machine.
    """
    listed = configurations(sweep) if sweep.search.is_listed else []
    plan = Plan(sweep, machine, (), len(listed) if sweep.search.is_listed else sweep.search.trials or 1)
    if not sweep.search.is_listed:
        draw, space = value_sampler(sweep), Space(sweep)
        for _ in range(_TRIED_CONFIGURATIONS):  # one that cannot be is refused now
            drawn = space.coordinates({path: draw(path) for path in space.leaders})
            plan.trial(space.configuration(drawn.__getitem__), sweep.seeds[0])
        return plan
    return replace(plan, trials=tuple(_trials(plan, listed)))


def _trials(plan: Plan, listed: list[Values]) -> Iterator[PlannedTrial]:
    firsts = [plan.trial(values, plan.sweep.seeds[0]) for values in listed]
    remaining = plan.num_trials
    for seed in plan.sweep.seeds:
        for first in firsts[:remaining]:
            yield replace(first, id=trial_id(first.values, seed), seed=seed)
        remaining -= min(remaining, len(firsts))


def realize(sweep: Sweep, values: Values) -> Sweep:
    """The sweep that one configuration stands for.

    Raises:
        SpecError: the spec does not take this combination of values.
    """
    data = data_with_values(sweep, values)
    try:
        resolved = Sweep.parse(data) if values else sweep
    except ValidationError as error:
        raise SpecError(
            [Issue(Location(SWEPT), f"{config_id(values)}: {message}") for message in words(error, data)]
        ) from None
    broken = trial_rules(resolved)
    if broken:
        raise SpecError(
            [fault.at(Location(path if path.startswith(SWEPT) else SWEPT)) for path, fault in broken]
        )
    return resolved


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


def _short(value: Any) -> str:
    if isinstance(value, dict):  # a schedule, or a section: {linear: [0.001, 0]} -> linear(0.001,0)
        return "+".join(f"{key}({_short(inner)})" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(f"[{_short(x)}]" if isinstance(x, (list, tuple)) else _short(x) for x in value)
    return f"{value:.12g}" if isinstance(value, float) else str(value)
