"""The space of a search: ranges, conditions and groups, and the coordinates in which Optuna moves through it.

Every parameter that is not zipped to another has one coordinate: the index of a choice, or a number. A
configuration is the values that a set of coordinates stands for, without those whose `when` does not hold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from optuna.distributions import BaseDistribution

from rlsweep.plan.coordinates import Coordinate, coordinate_distribution, decode, encode
from rlsweep.spec import Distribution, Sweep
from rlsweep.spec.parameters import same
from rlsweep.spec.search import MAX_CONFIGURATIONS
from rlsweep.spec.values import value_at

Values: TypeAlias = dict[str, Any]
"""Dotted path into the spec -> value: what sets one configuration apart."""


class Space:
    """`search.parameters` of one sweep.

    Args:
        sweep: its ranges, and the values that conditions on parameters that are not swept ask for.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._parameters = sweep.search.parameters
        self._order = _dependency_order(self._parameters)
        self.leaders = [path for path in self._parameters if self._parameters[path].zip is None]

    def configuration(self, choose: Callable[[str], Coordinate]) -> Values:
        """The values at chosen coordinates, in the order of the spec.

        Args:
            choose: asked once for each leader whose conditions hold, in an order in which those that it
                depends on come first.
        """
        values: Values = {}
        chosen: dict[str, Coordinate] = {}
        for path in self._order:
            leader = self._parameters[path].zip or path
            if leader in chosen or self._exists(leader, values):
                if leader not in chosen:
                    chosen[leader] = choose(leader)
                values[path] = decode(self._parameters[path], chosen[leader])
        return {path: values[path] for path in self._parameters if path in values}

    def grid(self) -> Iterator[Values]:
        """Every combination of listed values once, the last parameter moving fastest."""
        seen: set[str] = set()
        ranges = [self._parameters[path] for path in self.leaders]
        axes = [[encode(range_, choice) for choice in range_.choices or []] for range_ in ranges]
        for combination in itertools.product(*axes):
            coordinates = dict(zip(self.leaders, combination, strict=True))
            values = self.configuration(coordinates.__getitem__)
            if (key := repr(values)) not in seen:
                seen.add(key)
                yield values

    @property
    def is_finite(self) -> bool:
        """Whether `grid` can list it, in at most MAX_CONFIGURATIONS combinations."""
        counts = [len(self._parameters[path].choices or []) for path in self.leaders]
        return 0 < math.prod(counts) <= MAX_CONFIGURATIONS

    def completed(self, values: Values, point: Mapping[str, Any]) -> Values:
        """A configuration with the values of a point to the last digit, where both have them."""
        return {
            path: self._parameters[path].canonical(point[path]) if path in point else value
            for path, value in values.items()
        }

    def coordinates(self, values: Mapping[str, Any]) -> dict[str, Coordinate]:
        """The coordinates of values that lie in their ranges."""
        return {path: encode(self._parameters[path], values[path]) for path in self.leaders if path in values}

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether values are a configuration of this space."""
        if not all(
            path in self._parameters and self._parameters[path].contains(values[path]) for path in values
        ):
            return False
        try:
            return set(self.configuration(self.coordinates(values).__getitem__)) == set(values)
        except KeyError:
            return False

    def default_values(self) -> Values | None:
        """What the spec says without the search; None where it lies outside of a range or says nothing."""
        try:
            existing = self.configuration(self._own_coordinate)
            found = {path: value_at(self._sweep, path) for path in existing}
        except (KeyError, ValueError):
            return None
        zipped = all(same(existing[path], found[path]) for path in existing if self._parameters[path].zip)
        return self.completed(existing, found) if zipped else None

    def optuna_distribution(self, path: str) -> BaseDistribution:
        """What Optuna draws a leader's coordinate from."""
        return coordinate_distribution(self._parameters[path])

    def _own_coordinate(self, path: str) -> Coordinate:
        value = value_at(self._sweep, path)
        if not self._parameters[path].contains(value):
            raise ValueError(f"{path} = {value!r} lies outside of its range")
        return encode(self._parameters[path], value)

    def _exists(self, path: str, values: Values) -> bool:
        return all(
            self._holds(other, wanted, values) for other, wanted in self._parameters[path].when.items()
        )

    def _holds(self, path: str, wanted: Any, values: Values) -> bool:
        if path in self._parameters and path not in values:
            return False  # it does not exist itself
        found = values[path] if path in values else value_at(self._sweep, path)
        return same(found, wanted) or (isinstance(wanted, list) and any(same(found, one) for one in wanted))


def _dependency_order(parameters: Mapping[str, Distribution]) -> list[str]:
    """The parameters in the order of the spec, each behind those that it depends on."""
    ordered: list[str] = []

    def add(path: str) -> None:
        if path in ordered or path not in parameters:
            return
        range_ = parameters[path]
        for other in (*range_.when, *([range_.zip] if range_.zip else [])):
            add(other)
        ordered.append(path)

    for path in parameters:
        add(path)
    return ordered
