"""A spec's `scheduler:` as Tune's, kept from results that are no evidence yet."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.schedulers.pb2 import PB2
from sklearn.exceptions import ConvergenceWarning

from rlsweep.plan import Plan
from rlsweep.plan.coordinates import decode, encode
from rlsweep.plan.samplers import value_sampler
from rlsweep.run.manifest import objectives
from rlsweep.run.wrapped_schedulers import COMPARED, GRACES, Guarded, Remembering
from rlsweep.spec import AshaSpec, FifoSpec, HyperbandSpec, MedianSpec, Pb2Spec, PbtSpec, Sweep
from rlsweep.store.manifest import TRIAL
from rlsweep.store.rows import ENV_STEPS


class SteppedHyperBand(HyperBandScheduler):
    """Tune's Hyperband for rows that are coarser than its rounds.

    Tune lets a trial that is beyond the next round's end neither go on nor stop, and waits for ever. Here a
    trial is never further than the end of the round that its bracket is in.
    """

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        bracket, _ = self._trial_info[trial]
        capped = {**result, GRACES: min(result[GRACES], bracket._cumul_r)}
        return str(super().on_trial_result(tune_controller, trial, capped))


def make_scheduler(plan: Plan, past: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> TrialScheduler:
    """The scheduler of a plan's sweep, with lengths in env steps.

    Args:
        plan: of the sweep.
        past: results of earlier runs of it (`wrapped_schedulers.past_results`), for asha and median; the
            others begin anew with the trials that go on.
    """
    sweep = plan.sweep
    length = max((trial.sweep.stop.env_steps for trial in plan.trials), default=sweep.stop.env_steps)
    spec, objective = sweep.scheduler, objectives(sweep)[0].on_the_way
    common = {"metric": COMPARED, "mode": "max" if objective.maximize else "min"}
    match spec:
        case AshaSpec():
            asha = AsyncHyperBandScheduler(
                time_attr=ENV_STEPS,
                grace_period=spec.grace,
                max_t=length,
                reduction_factor=spec.reduction_factor,
                **common,
            )
            return Remembering(asha, objective, past)
        case HyperbandSpec():
            hyperband = SteppedHyperBand(
                time_attr=GRACES,
                max_t=max(1, length // spec.grace),
                reduction_factor=spec.reduction_factor,
                stop_last_trials=False,  # the last ones run to their own stop
                **common,
            )
            return Guarded(hyperband, objective, grace=spec.grace)
        case MedianSpec():
            median = MedianStoppingRule(
                time_attr=ENV_STEPS,
                grace_period=spec.grace,
                min_samples_required=spec.min_trials,
                **common,
            )
            return Remembering(median, objective, past)
        case PbtSpec() | Pb2Spec():
            return Guarded(_population(sweep, spec, common), objective)
        case FifoSpec():
            return FIFOScheduler()


def _population(sweep: Sweep, spec: PbtSpec | Pb2Spec, common: dict[str, Any]) -> TrialScheduler:
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
