"""How Tune is set for a sweep: names, the scheduler, which processes and checkpoints stay."""

from __future__ import annotations

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from rlsweep.plan import Plan
from rlsweep.plan.estimate import num_to_keep
from rlsweep.run.manifest import objectives
from rlsweep.spec import ASYNCHRONOUS, Sweep
from rlsweep.store.manifest import TRIAL


def tune_settings(plan: Plan, scheduler: TrialScheduler) -> tune.TuneConfig:
    """Trials are called by their ids, and go on in the processes of those before."""
    return tune.TuneConfig(
        scheduler=scheduler,
        reuse_actors=not leaves_threads(plan),
        trial_name_creator=_name,
        trial_dirname_creator=_name,
    )


def _name(trial: Trial) -> str:
    return str(trial.config[TRIAL]["id"])


def leaves_threads(plan: Plan) -> bool:
    """Whether a trial leaves something in its process, which therefore must end with it.

    With IMPALA and APPO RLlib starts threads that load batches onto the GPU. They never end, and hold what
    they have loaded.
    """
    resources = plan.resources
    learns_here = not resources.learners and resources.gpus_per_learner > 0
    return plan.sweep.algorithm in ASYNCHRONOUS and learns_here


def checkpoint_config(sweep: Sweep) -> tune.CheckpointConfig:
    """The best checkpoints by the first objective; by the score where that one waits for a score."""
    compared = objectives(sweep)[0].on_the_way
    return tune.CheckpointConfig(
        num_to_keep=num_to_keep(sweep),
        checkpoint_score_attribute=compared.key,
        checkpoint_score_order="max" if compared.maximize else "min",
        checkpoint_at_end=True,
    )
