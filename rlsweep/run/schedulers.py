"""A spec's `scheduler:` as Tune's, kept from results that are no evidence yet."""

from __future__ import annotations

import copy
import math
import random
import warnings
from collections.abc import Callable
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

from analysis.judgement import row_value
from rlsweep.plan import Plan
from rlsweep.plan.coordinates import decode, encode
from rlsweep.plan.samplers import value_sampler
from rlsweep.run.manifest import objectives
from rlsweep.spec import AshaSpec, FifoSpec, HyperbandSpec, MedianSpec, Pb2Spec, PbtSpec, Sweep
from rlsweep.store.manifest import TRIAL, Objective
from rlsweep.store.rows import ENV_STEPS

COMPARED = "rlsweep/compared"
GRACES = "rlsweep/graces"
"""Keys that schedulers read, beside those of the row: the value that counts, and env steps in units of the
grace (Hyperband's brackets are made for small whole numbers)."""


class Guarded(TrialScheduler):
    """Hands another scheduler only the results whose value counts.

    A score before enough games have ended, or one that is no number, says nothing: the trial goes on, and is
    neither killed nor crowned by it.

    Args:
        scheduler: decides.
        objective: by which.
        grace: env steps of one unit of GRACES.
    """

    def __init__(self, scheduler: TrialScheduler, objective: Objective, grace: int = 1) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._objective = objective
        self._grace = grace

    @property
    def metric(self) -> str:
        return self._objective.key  # Tune wants it in every row

    @property
    def supports_buffered_results(self) -> bool:
        return False

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._scheduler.on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._scheduler.on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        counted = self._counted(result)
        if counted is None:
            return str(self.CONTINUE)
        return str(self._scheduler.on_trial_result(tune_controller, trial, counted))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        counted = self._counted(result)
        if counted is None:
            self._scheduler.on_trial_remove(tune_controller, trial)
        else:
            self._scheduler.on_trial_complete(tune_controller, trial, counted)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._scheduler.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        trial: Trial | None = self._scheduler.choose_trial_to_run(tune_controller)
        return trial

    def debug_string(self) -> str:
        return str(self._scheduler.debug_string())

    def save(self, checkpoint_path: str) -> None:
        self._scheduler.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        self._scheduler.restore(checkpoint_path)

    def _counted(self, result: dict[str, Any]) -> dict[str, Any] | None:
        value = row_value(result, self._objective)
        if not math.isfinite(value):
            return None
        return {**result, COMPARED: value, GRACES: result[ENV_STEPS] / self._grace}


class SteppedHyperBand(HyperBandScheduler):
    """Tune's Hyperband for rows that are coarser than its rounds.

    Tune lets a trial that is beyond the next round's end neither go on nor stop, and waits for ever. Here a
    trial is never further than the end of the round that its bracket is in.
    """

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        bracket, _ = self._trial_info[trial]
        capped = {**result, GRACES: min(result[GRACES], bracket._cumul_r)}
        return str(super().on_trial_result(tune_controller, trial, capped))


def make_scheduler(plan: Plan) -> TrialScheduler:
    """The scheduler of a plan's sweep, with lengths in env steps."""
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
            return Guarded(asha, objective)
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
            return Guarded(median, objective)
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
