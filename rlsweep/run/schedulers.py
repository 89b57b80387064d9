"""A spec's `scheduler:` as Tune's, kept from results that are no evidence yet."""

from __future__ import annotations

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from rlsweep.plan import Plan
from rlsweep.run.brackets import RememberingBrackets, SteppedHyperBand
from rlsweep.run.manifest import objectives
from rlsweep.run.past import Past
from rlsweep.run.populations import RememberingPopulation, population
from rlsweep.run.wrapped_schedulers import COMPARED, GRACES, Remembering
from rlsweep.spec import AshaSpec, FifoSpec, HyperbandSpec, MedianSpec, Pb2Spec, PbtSpec
from rlsweep.store.rows import ENV_STEPS

NOTHING = Past()


def make_scheduler(plan: Plan, past: Past = NOTHING) -> TrialScheduler:
    """The scheduler of a plan's sweep, with lengths in env steps.

    Args:
        plan: of the sweep.
        past: what earlier runs of it have brought; the scheduler goes on from there.
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
            return Remembering(asha, objective, past.rows)
        case HyperbandSpec():
            hyperband = SteppedHyperBand(
                time_attr=GRACES,
                max_t=max(1, length // spec.grace),
                reduction_factor=spec.reduction_factor,
                stop_last_trials=False,  # the last ones run to their own stop
                **common,
            )
            ids = [trial.id for trial in plan.trials]
            return RememberingBrackets(hyperband, objective, spec.grace, ids, past)
        case MedianSpec():
            median = MedianStoppingRule(
                time_attr=ENV_STEPS,
                grace_period=spec.grace,
                min_samples_required=spec.min_trials,
                **common,
            )
            return Remembering(median, objective, past.rows)
        case PbtSpec() | Pb2Spec():
            values = {trial.id: trial.values for trial in plan.trials}
            members = population(sweep, spec, common)
            return RememberingPopulation(members, objective, spec.every, past, values)
        case FifoSpec():
            return FIFOScheduler()
