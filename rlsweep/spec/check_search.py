"""What is wrong with the ranges of `search.parameters`: paths, values, conditions, groups, points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from rlsweep.errors import Issue, Location, SpecError, nearest
from rlsweep.spec.check_training import hyperparameter_fault
from rlsweep.spec.hyperparameters import hyperparameters
from rlsweep.spec.parameters import Distribution
from rlsweep.spec.search import MAX_CONFIGURATIONS
from rlsweep.spec.sweep import Sweep
from rlsweep.spec.values import value_at, with_values

SWEEPABLE = ("training", "network", "env", "resources")
"""Sections whose values may differ from trial to trial."""

Locate = Callable[..., Location]
"""Keys below `search` -> the place they were written at."""

Explain = Callable[[ValidationError], list[str]]
"""pydantic's findings in a spec author's words."""


def search_issues(sweep: Sweep, locate: Locate, explain: Explain) -> list[Issue]:
    """Everything that is wrong with `search.parameters` and `search.points`."""
    issues: list[Issue] = []
    for path, distribution in sweep.search.parameters.items():
        where = locate("parameters", path)
        found = [*_path_issues(path, where)]
        issues += found or [
            *_value_issues(sweep, path, distribution, where, explain),
            *_condition_issues(sweep, path, distribution, where),
            *_zip_issues(sweep, path, distribution, where),
        ]
    return [
        *issues,
        *_circle_issues(sweep, locate),
        *_point_issues(sweep, locate),
        *_grid_issues(sweep, locate),
    ]


def _path_issues(path: str, where: Location) -> Iterator[Issue]:
    section, _, name = path.partition(".")
    if section not in SWEEPABLE:
        near = nearest(section, SWEEPABLE)
        allowed = ", ".join(f"{section}.…" for section in SWEEPABLE)
        yield Issue(where, f"cannot sweep {path!r}", allowed, f"{near}.{name}" if near else "")
    elif not name and section != "network":
        yield Issue(where, f"{path!r} is a section, not a value", f"{section}.<key>")


def _value_issues(
    sweep: Sweep, path: str, distribution: Distribution, where: Location, explain: Explain
) -> Iterator[Issue]:
    section, _, name = path.partition(".")
    if section == "training":
        yield from _hyperparameter_issues(sweep, name, distribution, where)
        return
    for value in distribution.examples:
        try:
            with_values(sweep, {path: value})
        except ValidationError as error:
            for message in explain(error):
                yield Issue(where, f"{path} = {value!r}: {message}")
        except SpecError as error:
            for issue in error.issues:
                yield Issue(where, issue.message)


def _hyperparameter_issues(
    sweep: Sweep, name: str, distribution: Distribution, where: Location
) -> Iterator[Issue]:
    known = hyperparameters(sweep.algorithm)
    if name in known and known[name].is_integer and distribution.kind in ("uniform", "log_uniform", "normal"):
        message = f"training.{name} takes whole numbers, a {distribution.kind} range gives fractions"
        allowed = "distribution: int_uniform or log_int_uniform with whole bounds, or values: [...]"
        yield Issue(where, message, allowed)
        return
    for value in distribution.examples:
        fault = hyperparameter_fault(sweep.algorithm, name, value)
        if fault:
            suggestion = f"training.{fault.suggestion}" if fault.suggestion in known else fault.suggestion
            yield Issue(where, fault.message, fault.allowed, suggestion)
            return


def _condition_issues(
    sweep: Sweep, path: str, distribution: Distribution, where: Location
) -> Iterator[Issue]:
    parameters = sweep.search.parameters
    for other, wanted in distribution.when.items():
        if other not in parameters:
            try:
                value_at(sweep, other)
            except KeyError:
                message = f"{path}: when {other!r}: neither a swept parameter nor a key of the spec"
                yield Issue(where, message, ", ".join(parameters), nearest(other, parameters))
            continue
        for value in wanted if isinstance(wanted, list) else [wanted]:
            if not contains(parameters[other], value):
                choices = parameters[other].choices
                allowed = ", ".join(map(str, choices)) if choices else "a value of its range"
                yield Issue(where, f"{path}: when {other} is {value!r}: it never is", allowed)


def _zip_issues(sweep: Sweep, path: str, distribution: Distribution, where: Location) -> Iterator[Issue]:
    if distribution.zip is None:
        return
    parameters = sweep.search.parameters
    leader = parameters.get(distribution.zip)
    if leader is None or distribution.zip == path:
        others = [other for other in parameters if other != path]
        message = f"{path}: zip {distribution.zip!r}: no other swept parameter"
        yield Issue(where, message, ", ".join(others), nearest(distribution.zip, others))
    elif leader.values is None or leader.zip is not None:
        yield Issue(where, f"{path}: zip {distribution.zip!r}: that one has no `values` of its own")
    elif len(leader.values) != len(distribution.values or []):
        counts = f"{len(distribution.values or [])} values here, {len(leader.values)} there"
        yield Issue(where, f"{path} moves with {distribution.zip}: {counts}")


def _circle_issues(sweep: Sweep, locate: Locate) -> Iterator[Issue]:
    parameters = sweep.search.parameters

    def depends_on(path: str) -> set[str]:
        found, waiting = set[str](), [path]
        while waiting:
            range_ = parameters[waiting.pop()]
            new = {*range_.when, *([range_.zip] if range_.zip else [])} & set(parameters) - found
            found |= new
            waiting += new
        return found

    for path, distribution in parameters.items():
        if distribution.when and path in depends_on(path):
            yield Issue(locate("parameters", path), f"{path}: its `when` leads back to itself: a circle")
            return


def _point_issues(sweep: Sweep, locate: Locate) -> Iterator[Issue]:
    parameters = sweep.search.parameters
    for index, point in enumerate(sweep.search.points):
        for path, value in point.items():
            where = locate("points", index, path)
            if path not in parameters:
                message = f"search.points: {path!r} is not swept"
                yield Issue(where, message, ", ".join(parameters), nearest(path, parameters))
            elif not contains(parameters[path], value):
                yield Issue(where, f"search.points: {path} = {value!r} lies outside of its range")


def _grid_issues(sweep: Sweep, locate: Locate) -> Iterator[Issue]:
    if sweep.search.method != "grid":
        return
    leaders = [range_ for range_ in sweep.search.parameters.values() if range_.zip is None]
    if math.prod(len(range_.choices or []) for range_ in leaders) > MAX_CONFIGURATIONS:
        yield Issue(locate("parameters"), f"the grid has more than {MAX_CONFIGURATIONS} configurations")


def contains(distribution: Distribution, value: Any) -> bool:
    """Whether a distribution can give this value."""
    if distribution.values is not None or distribution.kind == "constant":
        return any(same(value, choice) for choice in distribution.choices or [])
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return False
    if distribution.kind in ("int_uniform", "log_int_uniform") and not float(value).is_integer():
        return False
    low, high = distribution.min, distribution.max
    return (low is None or value >= low) and (high is None or value <= high)


def same(value: Any, other: Any) -> bool:
    """Equality that keeps `true` and 1 apart."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)
