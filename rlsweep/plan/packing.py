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

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

UNIT = 10_000
"""Ray counts in whole ten-thousandths, and cuts off what is less (`fixed_point.h`)."""

DEVICES = {"GPU", "neuron_cores", "TPU", "NPU", "HPU", "RBLN", "FURIOSA", "TTNPU", "MBLT"}
"""Resources that come as devices of 1 each (`ray_config_def.h`, `custom_unit_instance_resources`)."""

REASONS = {
    "STRICT_PACK": "STRICT_PACK puts all {bundles} bundles on one node",
    "STRICT_SPREAD": "STRICT_SPREAD puts each of {bundles} bundles on a node of its own, of {nodes} nodes",
}

Bundle = Mapping[str, float]
Demand = tuple[tuple[str, int], ...]
"""A bundle in Ray's units."""
Instances = Mapping[str, tuple[int, ...]]
"""What a raylet has free, in Ray's units: of each device, or one number for what has no devices."""


@dataclass(frozen=True)
class Node:
    """An empty node and all it has, such as `{"CPU": 8, "GPU": 2}`."""

    name: str
    resources: Mapping[str, float]


@dataclass(frozen=True)
class Placement:
    """The name of each bundle's node, in the order of the bundles."""

    nodes: tuple[str, ...]


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
        reason: what the strategy asks, where that is what makes it impossible, else empty.
    """

    bundle: int | None
    node: str | None
    lacks: tuple[Lack, ...]
    reason: str


class View:
    """What the GCS believes to be free on one node; it never changes, so it scores a demand once."""

    def __init__(self, sums: Mapping[str, int]) -> None:
        self.sums = sums
        self._scores: dict[Demand, float] = {}

    @classmethod
    def reported(cls, instances: Instances) -> View:
        """The raylet's own numbers, through the floats of its report: 0.57 arrives as 0.5699."""
        return cls({resource: int(sum(free) / UNIT * UNIT) for resource, free in instances.items()})

    def without(self, demand: Demand) -> View:
        return View({**self.sums, **{resource: self.sums[resource] - wanted for resource, wanted in demand}})

    def score(self, demand: Demand) -> float:
        """Sum of the fractions that would stay free (`LeastResourceScorer`), -1 where it does not fit."""
        if demand not in self._scores:
            free = [(self.sums.get(resource, 0), wanted) for resource, wanted in demand]
            fits = all(have >= wanted for have, wanted in free)
            self._scores[demand] = sum((have - wanted) / have for have, wanted in free) if fits else -1
        return self._scores[demand]


class Free:
    """What is free in a cluster, all of it at first: to its raylets, and in the views of the GCS.

    Nodes go by their positions, for names need not differ.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.names = [node.name for node in nodes]
        self.instances = dict(enumerate(_instances(node.resources) for node in nodes))
        self.views = {node: View.reported(instances) for node, instances in self.instances.items()}


def pack(bundles: Sequence[Bundle], strategy: str, nodes: Sequence[Node], wanted: int) -> list[Placement]:
    """The placements of as many of `wanted` equal trials as the empty cluster holds at once."""
    free = Free(nodes)
    placements: list[Placement] = []
    while len(placements) < wanted and (placement := place(bundles, strategy, free)):
        placements.append(placement)
    return placements


def place(bundles: Sequence[Bundle], strategy: str, free: Free) -> Placement | None:
    """Reserve one placement group in `free`; None if Ray would leave it pending."""
    demands = [_demand(bundle) for bundle in bundles]
    tried: set[tuple[tuple[int, ...], ...]] = set()
    while len(chosen := _choose(demands, strategy, free.views)) == len(demands):
        if _reserve(demands, chosen, free):
            return Placement(tuple(free.names[chosen[index]] for index in range(len(demands))))
        views = tuple(tuple(view.sums.values()) for view in free.views.values())
        if views in tried:
            return None
        tried.add(views)
    return None


def nearest_miss(bundles: Sequence[Bundle], strategy: str, nodes: Sequence[Node]) -> Miss | None:
    """Why the empty cluster holds not even one trial, or None if it does."""
    if place(bundles, strategy, Free(nodes)):
        return None
    demands = [_demand(bundle) for bundle in bundles]
    free = Free(nodes)
    for index in _order(demands):
        if all(_take(demands[index], instances) is None for instances in free.instances.values()):
            return _nearest(index, demands[index], free, free.instances)
    return _miss_together(demands, strategy, free)


def _miss_together(demands: Sequence[Demand], strategy: str, free: Free) -> Miss:
    """What is in the way of bundles of which each would have a place by itself."""
    reason = REASONS.get(strategy, "").format(bundles=len(demands), nodes=len(free.names))
    chosen = _choose(demands, strategy, free.views)
    if strategy == "STRICT_PACK" and not chosen:
        return _nearest(None, _total(demands), free, free.instances, reason)
    for index, node in sorted(chosen.items()):
        left = _take(demands[index], free.instances[node])
        if left is None:
            return _nearest(index, demands[index], free, [node], reason)
        free.instances[node] = left
    stuck = next(index for index in _order(demands) if index not in chosen)
    closed = set(chosen.values()) if strategy == "STRICT_SPREAD" else set()
    return _nearest(stuck, demands[stuck], free, free.instances.keys() - closed, reason)


def _nearest(bundle: int | None, demand: Demand, free: Free, nodes: Iterable[int], reason: str = "") -> Miss:
    """Of nodes that all lack some of a demand, the one that lacks the smallest part."""
    lacks = {node: _lacks(demand, free.instances[node]) for node in sorted(nodes)}
    if not lacks:
        return Miss(bundle, None, (), reason)
    node = min(lacks, key=lambda node: sum(1 - lack.there / lack.wanted for lack in lacks[node]))
    return Miss(bundle, free.names[node], lacks[node], reason)


def _lacks(demand: Demand, instances: Instances) -> tuple[Lack, ...]:
    free = {resource: instances.get(resource, ()) for resource, _ in demand}
    return tuple(
        Lack(resource, wanted / UNIT, _usable(free[resource]) / UNIT)
        for resource, wanted in demand
        if _allocate(wanted, free[resource]) is None
    )


def _usable(free: tuple[int, ...]) -> int:
    """Most that one bundle could have: all whole devices, or the freest part of one."""
    return max(*free, sum(amount for amount in free if amount == UNIT), 0)


# The GCS: which node for which bundle, by its index; some are missing if not all find one.

Order = Sequence[tuple[int, Demand]]
Views = Mapping[int, View]


def _choose(demands: Sequence[Demand], strategy: str, views: Views) -> dict[int, int]:
    return POLICIES[strategy]([(index, demands[index]) for index in _order(demands)], views)


def _order(demands: Sequence[Demand]) -> list[int]:
    """Scarce and large first (`SortRequiredResources`): GPUs, then others by name, memory, CPUs."""
    last = ["object_store_memory", "memory", "CPU"]
    own = sorted({resource for demand in demands for resource, _ in demand}.difference(["GPU", *last]))
    amounts = [dict(demand) for demand in demands]

    def rank(index: int) -> list[int]:
        return [amounts[index].get(resource, 0) for resource in ["GPU", *own, *last]]

    return sorted(range(len(demands)), key=rank, reverse=True)


def _best(demand: Demand, views: Views) -> int | None:
    node = max(views, key=lambda node: views[node].score(demand), default=None)
    return node if node is not None and views[node].score(demand) >= 0 else None


def _pack(order: Order, views: Views) -> dict[int, int]:
    """The best node for the first bundle takes all that it can; then the next, for what is left."""
    chosen: dict[int, int] = {}
    unused, waiting = dict(views), dict(order)
    while waiting and (node := _best(next(iter(waiting.values())), unused)) is not None:
        view = unused.pop(node)
        for index, demand in list(waiting.items()):
            if view.score(demand) >= 0:
                view = view.without(demand)
                chosen[index] = node
                del waiting[index]
    return chosen


def _spread(order: Order, views: Views, *, share: bool) -> dict[int, int]:
    """The best unused node for each bundle, or else, where they may share one, the best used node."""
    chosen: dict[int, int] = {}
    unused, used = dict(views), dict[int, View]()
    for index, demand in order:
        if (node := _best(demand, unused)) is not None:
            used[node] = unused.pop(node)
        elif not share or (node := _best(demand, used)) is None:
            break
        used[node] = used[node].without(demand)
        chosen[index] = node
    return chosen


def _strict_pack(order: Order, views: Views) -> dict[int, int]:
    """The best node for the sum of the bundles."""
    node = _best(_total([demand for _, demand in order]), views)
    return {} if node is None else {index: node for index, _ in order}


POLICIES: dict[str, Callable[[Order, Views], dict[int, int]]] = {
    "PACK": _pack,
    "SPREAD": partial(_spread, share=True),
    "STRICT_PACK": _strict_pack,
    "STRICT_SPREAD": partial(_spread, share=False),
}

# The raylets: every bundle is reserved at its node, or none is.


def _reserve(demands: Sequence[Demand], chosen: Mapping[int, int], free: Free) -> bool:
    shares: dict[int, list[Demand]] = defaultdict(list)
    for index, demand in enumerate(demands):
        shares[chosen[index]].append(demand)
    prepared = {node: _prepare(share, free.instances[node]) for node, share in shares.items()}
    agreed = all(len(prepared[node]) == len(share) for node, share in shares.items())
    for node, share in shares.items():
        if agreed:
            free.instances[node] = prepared[node][-1]
        reports = bool(prepared[node])
        view = View.reported(free.instances[node]) if reports else free.views[node].without(_total(share))
        free.views[node] = view
    return agreed


def _prepare(share: Sequence[Demand], instances: Instances) -> list[Instances]:
    """What a raylet has left after each of its bundles, up to the first that it cannot hold."""
    states: list[Instances] = []
    for demand in share:
        left = _take(demand, states[-1] if states else instances)
        if left is None:
            break
        states.append(left)
    return states


def _take(demand: Demand, instances: Instances) -> Instances | None:
    left = dict(instances)
    for resource, wanted in demand:
        after = _allocate(wanted, left.get(resource, ()))
        if after is None:
            return None
        left[resource] = after
    return left


def _allocate(wanted: int, free: tuple[int, ...]) -> tuple[int, ...] | None:
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


# Ray's units


def _demand(bundle: Bundle) -> Demand:
    units = {resource: int(amount * UNIT) for resource, amount in bundle.items()}
    return tuple(sorted((resource, amount) for resource, amount in units.items() if amount))


def _total(demands: Sequence[Demand]) -> Demand:
    total: Counter[str] = Counter()
    for demand in demands:
        total.update(dict(demand))
    return tuple(sorted(total.items()))


def _instances(resources: Mapping[str, float]) -> Instances:
    return {
        resource: (UNIT,) * int(amount) if resource in DEVICES else (int(amount * UNIT),)
        for resource, amount in resources.items()
    }
