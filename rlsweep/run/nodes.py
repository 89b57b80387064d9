"""The nodes of Ray: what they have now, how many trials they hold, and waiting for some that are to come."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import RayError
from ray.util.placement_group import remove_placement_group

from rlsweep.errors import PreflightError
from rlsweep.plan import Machine, Plan, TrialResources, make
from rlsweep.plan.packing import Node
from rlsweep.plan.resources import fix
from rlsweep.run.placement import group_factory
from rlsweep.spec import Sweep
from rlsweep.spec.quantities import duration

logger = logging.getLogger(__name__)

RAY_IS_AWAY = (RayError, OSError, RuntimeError)
"""What its calls raise then. Whether it has died is for others to find out."""

SECONDS_BETWEEN_LOOKS = 5.0
"""Between two looks at the nodes; an autoscaler takes minutes for one."""


def read_machine() -> Machine:
    """What the nodes have that live now."""
    return Machine(
        tuple(
            Node(node["NodeManagerHostname"], dict(node["Resources"]), dict(node["Labels"]))
            for node in ray.nodes()
            if node["Alive"]
        )
    )


class Capacity:
    """How many trials of a plan the nodes hold that there are now, as they come and go.

    Args:
        plan: whose trials take what they take, whatever the nodes are now.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._machine = plan.machine
        self._trials = plan.max_concurrent
        self._looked = time.monotonic()

    @property
    def trials(self) -> int:
        """At least one: its placement group asks for a node."""
        if time.monotonic() - self._looked >= SECONDS_BETWEEN_LOOKS:
            self._looked = time.monotonic()
            try:
                machine = read_machine()
            except RAY_IS_AWAY:
                return self._trials
            if machine != self._machine:
                self._machine = machine
                self._trials = max(1, self._plan.max_concurrent_on(machine))
        return self._trials

    @property
    def wanted(self) -> int:
        """The same, and one more where the cluster may grow: a group that waits asks for a node."""
        return self.trials + (_seconds_for_nodes(self._plan.sweep) is not None)


def plan_on(sweep: Sweep, machine: Machine) -> Plan:
    """A plan for a machine, or for what a cluster becomes within `resources.wait_for_nodes`.

    Meanwhile a placement group of one trial waits there, which tells Ray's autoscaler what to start. Unlike
    what `request_resources` asks for, it ends with this process, and no node stays for it.

    Raises:
        SpecError: a combination of values that the spec does not take.
        PreflightError: a trial can never be placed.
    """
    waits = _seconds_for_nodes(sweep)
    try:
        return make(sweep, machine)
    except PreflightError as error:
        if waits is None:
            raise
        logger.warning("waiting for nodes, %s at most: %s", duration(waits), error)
    deadline = time.monotonic() + waits
    with _asked_for(fix(sweep, machine, num_trials=1)):
        while True:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            machine = read_machine()
            try:
                return make(sweep, machine)
            except PreflightError:
                if time.monotonic() > deadline:
                    raise


def _seconds_for_nodes(sweep: Sweep) -> float | None:
    """How long to wait for nodes; None where none will come, as with a Ray of one's own."""
    return sweep.resources.wait_for_nodes if os.environ.get("RAY_ADDRESS") else None


@contextmanager
def _asked_for(resources: TrialResources) -> Iterator[None]:
    """One trial's placement group, waiting for the time of the block."""
    asked = group_factory(resources.bundles, resources.placement, resources.label_selectors)
    group = asked.to_placement_group()
    try:
        yield
    finally:
        remove_placement_group(group)
