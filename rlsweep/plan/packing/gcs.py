"""The GCS: which node for which bundle, by sums (`bundle_scheduling_policy.cc`, `scorer.cc`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from rlsweep.plan.packing.labels import Labels, matches
from rlsweep.plan.packing.units import UNIT, Demand, Instances, total


class View:
    """What the GCS believes to be free on one node; it never changes, so it scores a demand once."""

    def __init__(self, sums: Mapping[str, int], labels: Labels) -> None:
        self.sums = sums
        self.labels = labels
        self._scores: dict[Demand, float] = {}

    @classmethod
    def reported(cls, instances: Instances, labels: Labels) -> View:
        """The raylet's own numbers, through the floats of its report: 0.57 arrives as 0.5699."""
        return cls({resource: int(sum(free) / UNIT * UNIT) for resource, free in instances.items()}, labels)

    def without(self, demand: Demand) -> View:
        left = {resource: self.sums[resource] - wanted for resource, wanted in demand.amounts}
        return View({**self.sums, **left}, self.labels)

    def score(self, demand: Demand) -> float:
        """Sum of the fractions that would stay free (`LeastResourceScorer`), -1 where it does not fit."""
        if demand not in self._scores:
            free = [(self.sums.get(resource, 0), wanted) for resource, wanted in demand.amounts]
            fits = all(have >= wanted for have, wanted in free) and matches(demand.conditions, self.labels)
            self._scores[demand] = sum((have - wanted) / have for have, wanted in free) if fits else -1
        return self._scores[demand]


Views = Mapping[int, View]
Order = Sequence[tuple[int, Demand]]


def choose(demands: Sequence[Demand], strategy: str, views: Views) -> dict[int, int]:
    """The node of each bundle, by its index; some are missing if not all find one."""
    return POLICIES[strategy]([(index, demands[index]) for index in in_order(demands)], views)


def in_order(demands: Sequence[Demand]) -> list[int]:
    """Scarce and large first (`SortRequiredResources`): GPUs, then others by name, memory, CPUs."""
    last = ["object_store_memory", "memory", "CPU"]
    own = sorted({kind for demand in demands for kind, _ in demand.amounts}.difference(["GPU", *last]))
    amounts = [dict(demand.amounts) for demand in demands]

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
    node = _best(total([demand for _, demand in order]), views)
    return {} if node is None else {index: node for index, _ in order}


POLICIES: dict[str, Callable[[Order, Views], dict[int, int]]] = {
    "PACK": _pack,
    "SPREAD": partial(_spread, share=True),
    "STRICT_PACK": _strict_pack,
    "STRICT_SPREAD": partial(_spread, share=False),
}
