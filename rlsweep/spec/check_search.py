"""What is wrong with the ranges of `search.parameters`: paths, values, conditions, groups, points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from rlsweep.errors import Issue, Location, SpecError, nearest
from rlsweep.spec.check import words
from rlsweep.spec.check_training import hyperparameter_fault
from rlsweep.spec.hyperparameters import BOUNDS, Bounds, hyperparameters
from rlsweep.spec.parameters import Distribution, same
from rlsweep.spec.rules import trial_rules
from rlsweep.spec.search import MAX_CONFIGURATIONS, MAX_TRIALS
from rlsweep.spec.sweep import Sweep
from rlsweep.spec.values import data_with_values, value_at

SWEEPABLE = ("training", "network", "env", "resources", "exploration", "curriculum")
"""Sections whose values may differ from trial to trial."""

NOT_PER_TRIAL = ("resources.max_concurrent", "resources.wait_for_nodes")

Locate = Callable[..., Location]
"""Keys below `search` -> the place they were written at."""


def search_issues(sweep: Sweep, locate: Locate) -> list[Issue]:
    """Everything that is wrong with `search.parameters` and `search.points`."""
    issues: list[Issue] = []
    for path, distribution in sweep.search.parameters.items():
        where = locate("parameters", path)
        found = [*_path_issues(sweep, path, where)]
        issues += found or [
            *_value_issues(sweep, path, distribution, where),
            *_condition_issues(sweep, path, distribution, where),
            *_zip_issues(sweep, path, distribution, where),
        ]
    return [
        *issues,
        *_circle_issues(sweep, locate),
        *_point_issues(sweep, locate),
        *_grid_issues(sweep, locate),
    ]


def _path_issues(sweep: Sweep, path: str, where: Location) -> Iterator[Issue]:
    section, _, name = path.partition(".")
    inside = [other for other in sweep.search.parameters if other.startswith(f"{path}.")]
    if not all(path.split(".")):
        yield Issue(where, f"cannot sweep {path!r}: a path is keys with dots between them")
    elif inside:
        yield Issue(where, f"{path!r} and {inside[0]!r} are both swept, and the one holds the other")
    elif path in NOT_PER_TRIAL:
        yield Issue(where, f"cannot sweep {path!r}: it is one for all trials")
    elif section not in SWEEPABLE:
        near = nearest(section, SWEEPABLE)
        allowed = ", ".join(f"{section}.…" for section in SWEEPABLE)
        yield Issue(where, f"cannot sweep {path!r}", allowed, f"{near}.{name}" if near else "")
    elif not name and section != "network":
        yield Issue(where, f"{path!r} is a section, not a value", f"{section}.<key>")


def _value_issues(sweep: Sweep, path: str, distribution: Distribution, where: Location) -> Iterator[Issue]:
    section, _, name = path.partition(".")
    if section == "training":
        yield from _hyperparameter_issues(sweep, name, distribution, where)
        return
    around = _conditions(sweep, path)
    for value in distribution.examples:
        try:
            data = data_with_values(sweep, {**around, path: value})
            resolved = Sweep.parse(data)
        except ValidationError as error:
            for message in words(error, data):
                yield Issue(where, f"{path} = {value!r}: {message}")
        except SpecError as error:
            for issue in error.issues:
                yield Issue(where, issue.message)
        else:
            unswept = trial_rules(sweep)  # reported where they are written
            yield from (found[1].at(where) for found in trial_rules(resolved) if found not in unswept)


def _conditions(sweep: Sweep, path: str) -> dict[str, Any]:
    """Values of other parameters with which this one exists."""
    parameters = sweep.search.parameters
    found: dict[str, Any] = {}
    leader = parameters[path].zip
    waiting = [leader if leader in parameters else path]
    while waiting:
        for other, wanted in parameters[waiting.pop()].when.items():
            if other in parameters and other not in found:
                holds_list = parameters[other].contains(wanted)
                found[other] = wanted[0] if isinstance(wanted, list) and wanted and not holds_list else wanted
                waiting.append(other)
    return found


def _hyperparameter_issues(
    sweep: Sweep, name: str, distribution: Distribution, where: Location
) -> Iterator[Issue]:
    known = hyperparameters(sweep.algorithm)
    if name in known and known[name].is_integer and distribution.kind in ("uniform", "log_uniform", "normal"):
        message = f"training.{name} takes whole numbers, a {distribution.kind} range gives fractions"
        allowed = "distribution: int_uniform or log_int_uniform with whole bounds, or values: [...]"
        yield Issue(where, message, allowed)
        return
    if distribution.mu is not None and name in BOUNDS and not _is_inside(distribution, BOUNDS[name]):
        message = f"training.{name}: a {distribution.kind} distribution reaches beyond {BOUNDS[name]}"
        yield Issue(where, message, "`min` and `max` beside `mu` and `sigma`")
        return
    for value in distribution.examples:
        fault = hyperparameter_fault(sweep.algorithm, name, value)
        if fault:
            suggestion = f"training.{fault.suggestion}" if fault.suggestion in known else fault.suggestion
            yield Issue(where, fault.message, fault.allowed, suggestion)
            return


def _is_inside(distribution: Distribution, bounds: Bounds) -> bool:
    """Whether a normal distribution, cut off where it is, stays in a hyperparameter's bounds."""
    low, high = distribution.bounds
    least = 0.0 if distribution.kind == "log_normal" else low
    return bounds.hold(max(low, least)) and (bounds.high is None or high <= bounds.high)


def _condition_issues(
    sweep: Sweep, path: str, distribution: Distribution, where: Location
) -> Iterator[Issue]:
    parameters = sweep.search.parameters
    for other, wanted in distribution.when.items():
        if other not in parameters:
            yield from _fixed_condition_issues(sweep, path, other, wanted, where)
            continue
        if parameters[other].contains(wanted):
            continue
        if wanted == []:
            yield Issue(where, f"{path}: when {other} is one of nothing: it never is")
        for value in wanted if isinstance(wanted, list) else [wanted]:
            if not parameters[other].contains(value):
                choices = parameters[other].choices
                allowed = ", ".join(map(str, choices)) if choices else "a value of its range"
                yield Issue(where, f"{path}: when {other} is {value!r}: it never is", allowed)


def _fixed_condition_issues(
    sweep: Sweep, path: str, other: str, wanted: Any, where: Location
) -> Iterator[Issue]:
    parameters = sweep.search.parameters
    try:
        found = value_at(sweep, other)
    except KeyError:
        message = f"{path}: when {other!r}: neither a swept parameter nor a key of the spec"
        yield Issue(where, message, ", ".join(parameters), nearest(other, parameters))
        return
    if not any(same(found, one) for one in [wanted, *(wanted if isinstance(wanted, list) else [])]):
        yield Issue(where, f"{path}: when {other} is {wanted!r}: it never is", str(found))


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
            elif not parameters[path].contains(value):
                yield Issue(where, f"search.points: {path} = {value!r} lies outside of its range")
            elif leader := parameters[path].zip:
                message = f"search.points: {path} moves with {leader}"
                yield Issue(where, message, f"the value of {leader}")
    most = sweep.search.trials
    if most is not None and len(sweep.search.points) > most:
        message = f"search.points: {len(sweep.search.points)} points, but {most} trials"
        yield Issue(locate("points"), message)


def _grid_issues(sweep: Sweep, locate: Locate) -> Iterator[Issue]:
    if sweep.search.method != "grid":
        return
    leaders = [range_ for range_ in sweep.search.parameters.values() if range_.zip is None]
    count = math.prod(len(range_.choices or []) for range_ in leaders)
    if count > MAX_CONFIGURATIONS:
        yield Issue(locate("parameters"), f"the grid has more than {MAX_CONFIGURATIONS:,} configurations")
    elif count * len(sweep.seeds) > MAX_TRIALS:
        message = f"the grid has {count:,} configurations, with the seeds {count * len(sweep.seeds):,} trials"
        yield Issue(locate("parameters"), message, f"at most {MAX_TRIALS:,}")
