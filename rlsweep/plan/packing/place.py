"""How many equal trials a cluster holds at once, and on which nodes: Ray's placement, without Ray.

A trial asks for one placement group. Two parties decide on it, and they count differently:

1. The GCS has a *view* of each node, one sum for every resource, and chooses a node for each bundle
   (`policy/bundle_scheduling_policy.cc`, `policy/scorer.cc`). A sum does not say on which GPU it is free.
2. The raylet of a chosen node reserves its bundles one by one, device by device, or refuses them all
   (`resource_instance_set.cc`, `NodeResourceInstanceSet::TryAllocate`).

The GCS hears what a raylet has free whenever that changes. A raylet that refuses the first of its bundles
has nothing new to tell: the GCS goes on believing them taken there, and in time tries another node. One
that refuses a later bundle has taken and returned the first, and tells: the GCS chooses it again, for ever.

This is Ray 2.60; the files are in `src/ray/raylet/scheduling` and `src/ray/common/scheduling`. Where nodes
score equally Ray takes any of them, here it is the first. Reports are taken to arrive at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlsweep.plan.packing.gcs import View, choose
from rlsweep.plan.packing.labels import LabelSelector
from rlsweep.plan.packing.raylet import prepare
from rlsweep.plan.packing.units import Bundle, Demand, Node, to_demands, to_instances, total


@dataclass(frozen=True)
class Placement:
    """The name of each bundle's node, in the order of the bundles."""

    nodes: tuple[str, ...]


class Free:
    """What is free in a cluster, all of it at first: to its raylets, and in the views of the GCS.

    Nodes go by their positions, for names need not differ.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.names = [node.name for node in nodes]
        self.instances = dict(enumerate(to_instances(node.resources) for node in nodes))
        self.views = {
            place: View.reported(self.instances[place], node.labels) for place, node in enumerate(nodes)
        }


def pack(
    bundles: Sequence[Bundle],
    strategy: str,
    nodes: Sequence[Node],
    wanted: int,
    selectors: Sequence[LabelSelector] = (),
) -> list[Placement]:
    """The placements of as many of `wanted` equal trials as the empty cluster holds at once.

    Args:
        bundles, strategy, selectors: as `ray.util.placement_group` takes them.
        nodes: of the cluster.
        wanted: more are not looked for.
    """
    free = Free(nodes)
    placements: list[Placement] = []
    while len(placements) < wanted and (placement := place(bundles, strategy, free, selectors)):
        placements.append(placement)
    return placements


def place(
    bundles: Sequence[Bundle], strategy: str, free: Free, selectors: Sequence[LabelSelector] = ()
) -> Placement | None:
    """Reserve one placement group in `free`; None if Ray would leave it pending."""
    demands = to_demands(bundles, selectors)
    tried: set[tuple[tuple[int, ...], ...]] = set()
    while len(chosen := choose(demands, strategy, free.views)) == len(demands):
        if _reserve(demands, chosen, free):
            return Placement(tuple(free.names[chosen[index]] for index in range(len(demands))))
        views = tuple(tuple(view.sums.values()) for view in free.views.values())
        if views in tried:
            return None
        tried.add(views)
    return None


def _reserve(demands: Sequence[Demand], chosen: Mapping[int, int], free: Free) -> bool:
    shares: dict[int, list[Demand]] = defaultdict(list)
    for index, demand in enumerate(demands):
        shares[chosen[index]].append(demand)
    prepared = {node: prepare(share, free.instances[node]) for node, share in shares.items()}
    agreed = all(len(prepared[node]) == len(share) for node, share in shares.items())
    for node, share in shares.items():
        if agreed:
            free.instances[node] = prepared[node][-1]
        reports = bool(prepared[node])
        view = free.views[node]
        free.views[node] = (
            View.reported(free.instances[node], view.labels) if reports else view.without(total(share))
        )
    return agreed
