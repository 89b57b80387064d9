"""The raylets: bundles are reserved device by device (`resource_instance_set.cc`)."""

from __future__ import annotations

from collections.abc import Sequence

from rlsweep.plan.packing.units import UNIT, Demand, Instances


def prepare(share: Sequence[Demand], instances: Instances) -> list[Instances]:
    """What a raylet has left after each of its bundles, up to the first that it cannot hold."""
    states: list[Instances] = []
    for demand in share:
        left = take(demand, states[-1] if states else instances)
        if left is None:
            break
        states.append(left)
    return states


def take(demand: Demand, instances: Instances) -> Instances | None:
    """What is left of a node once a bundle is reserved there; None if it does not fit."""
    left = dict(instances)
    for resource, wanted in demand.amounts:
        after = allocate(wanted, left.get(resource, ()))
        if after is None:
            return None
        left[resource] = after
    return left


def allocate(wanted: int, free: tuple[int, ...]) -> tuple[int, ...] | None:
    """Take whole devices, the first that are free; a part from the device where least stays free."""
    if len(free) == 1:
        return (free[0] - wanted,) if free[0] >= wanted else None
    left = list(free)
    whole, part = divmod(wanted, UNIT)
    for _ in range(whole):
        if UNIT not in left:
            return None
        left[left.index(UNIT)] = 0
    if part:
        enough = [amount for amount in left if amount >= part]
        if not enough:
            return None
        left[left.index(min(enough))] -= part
    return tuple(left)
