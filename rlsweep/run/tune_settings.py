"""How Tune is set for a sweep: names, the scheduler, which processes stay, when there are checkpoints."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search.sample import Domain

from rlsweep.plan import Plan
from rlsweep.spec import ASYNCHRONOUS
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


def checkpoint_config() -> tune.CheckpointConfig:
    """Every trial leaves one; the others are thinned by `rlsweep.run.standing`.

    With `num_to_keep` Tune would write its own state of the whole sweep each time that some trial has made so
    many: of 1,000 trials that took half of the driver's time, and nobody reads it.
    """
    return tune.CheckpointConfig(checkpoint_at_end=True)


class Listed(Domain):
    """The configurations of trials that are known beforehand, one after the other.

    Instead of a grid, which Tune copies whole for each of its trials. Copies of this one are the same: each
    configuration is given to one trial.
    """

    def __init__(self, configurations: Iterable[dict[str, Any]]) -> None:
        self._left = deque(configurations)

    def __deepcopy__(self, memo: dict[int, Any]) -> Listed:
        return self

    def sample(self, *args: Any, **options: Any) -> dict[str, Any]:
        return self._left.popleft()
