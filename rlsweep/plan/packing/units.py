"""Bundles and nodes in Ray's units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from rlsweep.plan.packing.labels import Condition, Labels, LabelSelector

UNIT = 10_000
"""Ray counts in whole ten-thousandths, and cuts off what is less (`fixed_point.h`)."""

DEVICES = {"GPU", "neuron_cores", "TPU", "NPU", "HPU", "RBLN", "FURIOSA", "TTNPU", "MBLT"}
"""Resources that come as devices of 1 each (`ray_config_def.h`, `custom_unit_instance_resources`)."""

Bundle = Mapping[str, float]
_NOTHING: Mapping[str, Any] = {}

Instances = Mapping[str, tuple[int, ...]]
"""What a raylet has free, in Ray's units: of each device, or one number for what has no devices."""


@dataclass(frozen=True)
class Node:
    """An empty node and all it has, such as `{"CPU": 8, "GPU": 2}`."""

    name: str
    resources: Mapping[str, float]
    labels: Labels = field(default_factory=dict)


@dataclass(frozen=True)
class Demand:
    """A bundle in Ray's units, without what it has none of; and what its node's labels must be."""

    amounts: tuple[tuple[str, int], ...]
    conditions: tuple[Condition, ...] = ()


def to_demands(bundles: Sequence[Bundle], selectors: Sequence[LabelSelector]) -> list[Demand]:
    """Bundles, each with the label selector at its place, if there is one."""
    return [
        Demand(
            tuple(sorted((kind, units) for kind, amount in bundle.items() if (units := int(amount * UNIT)))),
            tuple(sorted(selector.items())),
        )
        for bundle, selector in zip_longest(bundles, selectors, fillvalue=_NOTHING)
    ]


def total(demands: Sequence[Demand]) -> Demand:
    """Several bundles as one."""
    amounts: Counter[str] = Counter()
    for demand in demands:
        amounts.update(dict(demand.amounts))
    conditions = {condition for demand in demands for condition in demand.conditions}
    return Demand(tuple(sorted(amounts.items())), tuple(sorted(conditions)))


def to_instances(resources: Mapping[str, float]) -> Instances:
    """All that an empty node has."""
    return {
        resource: (UNIT,) * int(amount) if resource in DEVICES else (int(amount * UNIT),)
        for resource, amount in resources.items()
    }
