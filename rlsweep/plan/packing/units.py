"""Bundles and nodes in Ray's units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNIT = 10_000
"""Ray counts in whole ten-thousandths, and cuts off what is less (`fixed_point.h`)."""

DEVICES = {"GPU", "neuron_cores", "TPU", "NPU", "HPU", "RBLN", "FURIOSA", "TTNPU", "MBLT"}
"""Resources that come as devices of 1 each (`ray_config_def.h`, `custom_unit_instance_resources`)."""

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


def to_demand(bundle: Bundle) -> Demand:
    """A bundle in Ray's units, without what it has none of."""
    units = {resource: int(amount * UNIT) for resource, amount in bundle.items()}
    return tuple(sorted((resource, amount) for resource, amount in units.items() if amount))


def total(demands: Sequence[Demand]) -> Demand:
    """Several bundles as one."""
    amounts: Counter[str] = Counter()
    for demand in demands:
        amounts.update(dict(demand))
    return tuple(sorted(amounts.items()))


def to_instances(resources: Mapping[str, float]) -> Instances:
    """All that an empty node has."""
    return {
        resource: (UNIT,) * int(amount) if resource in DEVICES else (int(amount * UNIT),)
        for resource, amount in resources.items()
    }
