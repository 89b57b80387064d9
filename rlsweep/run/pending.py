"""What trials wait for while fewer have a place than the nodes would hold: somebody else has the rest."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.util.placement_group import placement_group_table

from rlsweep.plan import Plan, TrialResources
from rlsweep.plan.packing.labels import in_words
from rlsweep.run.nodes import RAY_IS_AWAY, Capacity

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 30.0
"""Ray lists the placement groups of trials that have ended, too."""
SECONDS_BETWEEN_WORDS = 600.0


class PendingTrials(Callback):
    """Says what trials wait for while fewer have a place than the nodes would hold.

    Args:
        plan: whose trials they are.
        capacity: of the nodes.
    """

    def __init__(self, plan: Plan, capacity: Capacity) -> None:
        self._resources = plan.resources
        self._capacity = capacity
        self._looked, self._said = time.monotonic(), -math.inf

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        now = time.monotonic()
        if now - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        if now - self._said < SECONDS_BETWEEN_WORDS:
            return
        if not any(trial.status == Trial.PENDING for trial in trials):
            return
        try:
            states = _states_of_own_groups()
            if "PENDING" in states and states.count("CREATED") < self._capacity.trials:
                self._said = now
                logger.warning("trials wait: %s", waiting_for(self._resources))
        except RAY_IS_AWAY:
            return


def waiting_for(resources: TrialResources) -> str:
    """What a trial takes, on which nodes, and what of that is free."""
    wanted = resources.bundles
    free, there = ray.available_resources(), ray.cluster_resources()
    kinds = sorted({kind for bundle in wanted for kind in bundle})
    left = ", ".join(f"{free.get(kind, 0):g} of {there.get(kind, 0):g} {kind}" for kind in kinds)
    each = ", ".join(f"{sum(bundle.get(kind, 0) for bundle in wanted):g} {kind}" for kind in kinds)
    where = "".join(dict.fromkeys(map(in_words, resources.label_selectors)))
    whichever = ", whatever their labels," if where else ""
    return (
        f"one takes {each} ({resources.placement}){where}; free on all nodes{whichever} together are {left}"
    )


def _states_of_own_groups() -> list[str]:
    """Of the placement groups of this sweep. Their ids end with the driver's."""
    own = ray.get_runtime_context().get_job_id()
    groups = placement_group_table()
    return [group["state"] for name, group in groups.items() if name.endswith(own)]
