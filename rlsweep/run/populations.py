"""PBT and PB2 as Tune has them, within a spec's ranges, and with the scores that they had before an
interruption."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from ray.tune import Checkpoint
from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining
from ray.tune.schedulers.pb2 import PB2
from sklearn.exceptions import ConvergenceWarning

from rlsweep.plan.coordinates import decode, encode
from rlsweep.plan.samplers import value_sampler
from rlsweep.run.past import Past
from rlsweep.run.wrapped_schedulers import Guarded
from rlsweep.spec import Pb2Spec, PbtSpec, Sweep
from rlsweep.store.manifest import CHECKPOINT, TRIAL, Objective
from rlsweep.store.rows import ENV_STEPS


def population(sweep: Sweep, spec: PbtSpec | Pb2Spec, common: dict[str, Any]) -> PopulationBasedTraining:
    """Tune's scheduler for a spec's `pbt` or `pb2`.

    Args:
        sweep, spec: with the ranges, and the scheduler's own settings.
        common: metric and mode.
    """
    random.seed(sweep.search.seed)  # Tune's PBT and PB2 draw from the global generators
    np.random.seed(sweep.search.seed % 2**32)
    shared = {
        "time_attr": ENV_STEPS,
        "perturbation_interval": spec.every,
        "quantile_fraction": spec.quantile,
        "custom_explore_fn": _kept_in_ranges(sweep),
        **common,
    }
    parameters = sweep.search.parameters
    if isinstance(spec, Pb2Spec):
        # Its Gaussian process has a handful of points and reaches the bounds of its lengthscales.
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        bounds = {path: [range_.min, range_.max] for path, range_ in parameters.items()}
        return PB2(hyperparam_bounds={TRIAL: {"values": bounds}}, **shared)
    draw = value_sampler(sweep)
    mutations = {
        path: range_.choices if range_.values is not None else partial(draw, path)
        for path, range_ in parameters.items()
        if range_.kind != "constant"
    }
    return PopulationBasedTraining(
        hyperparam_mutations={TRIAL: {"values": mutations}},
        resample_probability=spec.resample,
        perturbation_factors=spec.factors,
        **shared,
    )


class RememberingPopulation(Guarded):
    """Lets a population go on with the scores that its members had when the sweep was interrupted.

    A member is next compared one interval after it was last, with all the others' last scores, and can be
    cloned from the checkpoint that it goes on from.

    Args:
        scheduler: PBT or PB2.
        objective: as for Guarded.
        interval: env steps between two comparisons of a member.
        past: rows and exploits of earlier runs.
        planned: trial id -> the values that a member began with.
    """

    def __init__(
        self,
        scheduler: PopulationBasedTraining,
        objective: Objective,
        interval: int,
        past: Past,
        planned: Mapping[str, Mapping[str, Any]],
    ) -> None:
        super().__init__(scheduler, objective)
        self._interval, self._past, self._planned = interval, past, planned
        self._taken_up: set[str] = set()

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        if str(trial) in self._taken_up:  # it failed, and comes back as what it was
            return
        super().on_trial_add(tune_controller, trial)
        self._taken_up.add(str(trial))
        self._take_up(trial)

    def _take_up(self, trial: Trial) -> None:
        """Show the scheduler the member's past as it would have seen it."""
        trial_id, scheduler = str(trial), self._scheduler
        state = scheduler._trial_state[trial]
        exploits = [one for one in self._past.exploits if one.trial_id == trial_id]
        for env_steps, row in ((row[ENV_STEPS], row) for one, row in self._past.rows if one == trial_id):
            counted = self._counted(row)
            last = [one for one in exploits if one.env_steps < env_steps][-1:]
            compared = max([state.last_perturbation_time, *(one.env_steps for one in last)])
            if counted is not None and env_steps - compared >= self._interval:
                values = last[0].values if last else self._planned.get(trial_id, {})
                member = _AsItWas(trial_id, {TRIAL: {"values": dict(values)}})
                scheduler._save_trial_state(state, env_steps, counted, member)
                state.last_perturbation_time = env_steps
        if path := trial.config[TRIAL].get(CHECKPOINT):
            state.last_checkpoint = Checkpoint(path)


@dataclass(frozen=True)
class _AsItWas:
    """A member at some time in the past.

    Attributes:
        trial_id: of it.
        config: its Tune configuration then.
    """

    trial_id: str
    config: dict[str, Any]

    def __str__(self) -> str:
        return self.trial_id


def _kept_in_ranges(sweep: Sweep) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Perturbed values go back into their ranges: Tune multiplies a discount of 0.99 by 1.2."""
    parameters = sweep.search.parameters

    def kept(config: dict[str, Any]) -> dict[str, Any]:
        config = copy.deepcopy(config)
        values = config[TRIAL]["values"]
        for path, range_ in parameters.items():
            if range_.is_range:
                values[path] = decode(range_, encode(range_, values[path]))
        return config

    return kept
