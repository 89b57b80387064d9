"""Why not even one trial can ever be placed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rlsweep.plan.packing.gcs import choose, in_order
from rlsweep.plan.packing.labels import LabelSelector, matches
from rlsweep.plan.packing.place import Free, place
from rlsweep.plan.packing.raylet import allocate, take
from rlsweep.plan.packing.units import UNIT, Bundle, Demand, Instances, Node, to_demands, total

REASONS = {
    "STRICT_PACK": "STRICT_PACK puts all {bundles} bundles on one node",
    "STRICT_SPREAD": "STRICT_SPREAD puts each of {bundles} bundles on a node of its own, of {nodes} nodes",
}


@dataclass(frozen=True)
class Lack:
    """How much of a resource is wanted, and how much of it one bundle could have there."""

    resource: str
    wanted: float
    there: float


@dataclass(frozen=True)
class Miss:
    """Why a cluster cannot hold even one trial.

    Attributes:
        bundle: index of the bundle that finds no place; None for all bundles taken together.
        node: the node that comes nearest; None where no node is left to try.
        lacks: what that node has too little of, with the trial's other bundles in their places.
        reason: what the strategy asks, or the labels, where that is what makes it impossible, else empty.
        lacks_labels: it is the labels.
    """

    bundle: int | None
    node: str | None
    lacks: tuple[Lack, ...]
    reason: str
    lacks_labels: bool = False


def nearest_miss(
    bundles: Sequence[Bundle],
    strategy: str,
    nodes: Sequence[Node],
    selectors: Sequence[LabelSelector] = (),
) -> Miss | None:
    """Why the empty cluster holds not even one trial, or None if it does."""
    if place(bundles, strategy, Free(nodes), selectors):
        return None
    demands = to_demands(bundles, selectors)
    free = Free(nodes)
    for index in in_order(demands):
        if all(
            free.views[node].score(demands[index]) < 0 or take(demands[index], instances) is None
            for node, instances in free.instances.items()
        ):
            return _nearest(index, demands[index], free, free.instances)
    return _miss_together(demands, strategy, free)


def _miss_together(demands: Sequence[Demand], strategy: str, free: Free) -> Miss:
    """What is in the way of bundles of which each would have a place by itself."""
    reason = REASONS.get(strategy, "").format(bundles=len(demands), nodes=len(free.names))
    chosen = choose(demands, strategy, free.views)
    if strategy == "STRICT_PACK" and not chosen:
        return _nearest(None, total(demands), free, free.instances, reason)
    for index, node in sorted(chosen.items()):
        left = take(demands[index], free.instances[node])
        if left is None:
            return _nearest(index, demands[index], free, [node], reason)
        free.instances[node] = left
    stuck = next(index for index in in_order(demands) if index not in chosen)
    closed = set(chosen.values()) if strategy == "STRICT_SPREAD" else set()
    return _nearest(stuck, demands[stuck], free, free.instances.keys() - closed, reason)


def _nearest(bundle: int | None, demand: Demand, free: Free, nodes: Iterable[int], reason: str = "") -> Miss:
    """Of nodes that all lack some of a demand, the one that lacks the smallest part."""
    allowed = [node for node in sorted(nodes) if matches(demand.conditions, free.views[node].labels)]
    if not allowed:
        text = _labels_text(demand, free)
        return Miss(bundle, None, (), text or reason, lacks_labels=bool(text))
    lacks = {node: _lacks(demand, free.instances[node]) for node in allowed}
    node = min(lacks, key=lambda node: sum(1 - lack.there / lack.wanted for lack in lacks[node]))
    return Miss(bundle, free.names[node], lacks[node], reason)


def _labels_text(demand: Demand, free: Free) -> str:
    """Which labels are wanted and which there are; empty where some node has what is wanted."""
    labels = [view.labels for view in free.views.values()]
    if not labels or any(matches(demand.conditions, one) for one in labels):
        return ""
    wanted = ", ".join(f"{label}: {condition}" for label, condition in demand.conditions)
    there = "; ".join(
        f"{label} is "
        + ", ".join(
            f"{value} on {count}"
            for value, count in Counter(one.get(label, "not set") for one in labels).items()
        )
        for label, _ in demand.conditions
    )
    return f"no node has the labels {{{wanted}}}: {there} of {len(labels)} nodes"


def _lacks(demand: Demand, instances: Instances) -> tuple[Lack, ...]:
    free = {resource: instances.get(resource, ()) for resource, _ in demand.amounts}
    return tuple(
        Lack(resource, wanted / UNIT, _usable(free[resource]) / UNIT)
        for resource, wanted in demand.amounts
        if allocate(wanted, free[resource]) is None
    )


def _usable(free: tuple[int, ...]) -> int:
    """Most that one bundle could have: all whole devices, or the freest part of one."""
    return max(*free, sum(amount for amount in free if amount == UNIT), 0)
