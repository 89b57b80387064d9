"""What is wrong with a spec, each issue with the place it was written at."""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from rlsweep.errors import Issue, Location, SpecError, nearest
from rlsweep.spec.hyperparameters import hyperparameters, takes
from rlsweep.spec.parameters import Distribution
from rlsweep.spec.source import Document, KeyPath
from rlsweep.spec.sweep import Sweep
from rlsweep.spec.values import with_values

SWEEPABLE = ("training", "network", "env", "resources")
"""Sections whose values may differ from trial to trial."""


def validation_issues(error: ValidationError, document: Document) -> list[Issue]:
    """pydantic's findings in the words of a spec's author, one for each place that is wrong.

    A value that fits no member of a union fails once for each member; the first word on it is enough.
    """
    issues: dict[tuple[Location, KeyPath], Issue] = {}
    for details in error.errors(include_url=False):
        key = (document.location(written := _written_path(details["loc"], document.data)), written)
        issues.setdefault(key, _issue(details, document))
    return list(issues.values())


def hyperparameter_issues(document: Document) -> list[Issue]:
    """Keys and values of `training:` that the algorithm's `AlgorithmConfig.training()` does not take."""
    algorithm, training = document.data.get("algorithm"), document.data.get("training")
    try:
        hyperparameters(str(algorithm))
    except KeyError:
        return []  # an unknown algorithm is an issue of its own
    if not isinstance(training, dict):
        return []
    issues = []
    for name, value in training.items():
        message, allowed, suggestion = _hyperparameter_fault(str(algorithm), name, value)
        if message:
            issues.append(Issue(document.location(("training", name)), message, allowed, suggestion))
    return issues


def _hyperparameter_fault(algorithm: str, name: str, value: Any) -> tuple[str, str, str]:
    """What is wrong with one hyperparameter, what is allowed, and the nearest name; empty if nothing."""
    known = hyperparameters(algorithm)
    if name not in known:
        allowed = "the arguments of RLlib's AlgorithmConfig.training()"
        return f"{algorithm} has no hyperparameter {name!r}", allowed, nearest(name, known)
    if not takes(known[name], value):
        return f"training.{name}: {value!r} is of the wrong kind", " or ".join(known[name]), ""
    if isinstance(value, float) and not math.isfinite(value):
        return f"training.{name}: {value!r} is no number to train with", "finite numbers", ""
    return "", "", ""


def parameter_issues(sweep: Sweep, document: Document) -> list[Issue]:
    """Swept paths that the spec does not have, or whose values it does not take."""
    issues: list[Issue] = []
    for path, distribution in sweep.search.parameters.items():
        where = document.location(("search", "parameters", path))
        section, _, name = path.partition(".")
        if section not in SWEEPABLE:
            near = nearest(section, SWEEPABLE)
            suggestion = f"{near}.{name}" if near else ""
            issues.append(Issue(where, f"cannot sweep {path!r}", _sweepable_paths(), suggestion))
        elif not name:
            issues.append(Issue(where, f"{path!r} is a section, not a value", f"{section}.<key>"))
        elif section == "training":
            issues += _swept_hyperparameter_issues(sweep, name, distribution, where)
        else:
            for value in distribution.examples:
                issues += _value_issues(sweep, path, value, document)
    return issues


def _swept_hyperparameter_issues(
    sweep: Sweep, name: str, distribution: Distribution, where: Location
) -> list[Issue]:
    name, _, nested = name.partition(".")
    if nested and name in hyperparameters(sweep.algorithm):
        return []  # a key inside of a mapping, which RLlib alone can judge
    kinds = set(hyperparameters(sweep.algorithm).get(name, [])) - {"null"}
    if kinds == {"integer"} and distribution.kind in ("uniform", "log_uniform"):
        message = f"training.{name} takes whole numbers, a {distribution.kind} range gives fractions"
        return [Issue(where, message, "distribution: int_uniform with whole bounds, or values: [...]")]
    for value in distribution.examples:
        message, allowed, suggestion = _hyperparameter_fault(sweep.algorithm, name, value)
        if message:
            return [Issue(where, message, allowed, f"training.{suggestion}" if suggestion else "")]
    return []


def _sweepable_paths() -> str:
    return ", ".join(f"{section}.…" for section in SWEEPABLE)


def _value_issues(sweep: Sweep, path: str, value: Any, document: Document) -> list[Issue]:
    try:
        with_values(sweep, {path: value})
    except ValidationError as error:
        where = document.location(("search", "parameters", path))
        return [
            Issue(where, f"{path} = {value!r}: {_issue(details, Document({}, {(): where})).message}")
            for details in error.errors(include_url=False)
        ]
    except SpecError as error:
        return [
            Issue(document.location(("search", "parameters", path)), str(issue.message))
            for issue in error.issues
        ]
    return []


def _issue(details: Any, document: Document) -> Issue:
    path = _written_path(details["loc"], document.data)
    kind, given = details["type"], details["input"]
    dotted = ".".join(map(str, path)) or "the spec"
    if kind == "extra_forbidden":
        siblings = _field_names(path[:-1], document.data)
        return Issue(
            document.location(path),
            f"unknown key {path[-1]!r} in {'.'.join(map(str, path[:-1])) or 'the spec'}",
            ", ".join(siblings),
            nearest(str(path[-1]), siblings),
        )
    if kind == "missing":
        return Issue(document.location(path[:-1]), f"{dotted} is missing")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        context = details["ctx"]
        key = context["discriminator"].strip("'")
        valid = [tag.strip(" '") for tag in context.get("expected_tags", "").split(",") if tag]
        if kind == "union_tag_not_found":
            return Issue(document.location(path), f"{dotted}.{key} is missing")
        wrong = context["tag"]
        message = f"{dotted}.{key}: no {wrong!r}"
        return Issue(document.location((*path, key)), message, ", ".join(valid), nearest(wrong, valid))
    if kind == "literal_error":
        choices = [part.strip(" '") for part in details["ctx"]["expected"].replace(" or ", ", ").split(",")]
        message = f"{dotted}: no {given!r}"
        return Issue(document.location(path), message, ", ".join(choices), nearest(str(given), choices))
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        names = ", ".join(_field_names(path, document.data))
        return Issue(document.location(path), f"{dotted}: a section with keys belongs here", names)
    text = details["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(given, (dict, list, BaseModel)) else f" (here: {given!r})"
    return Issue(document.location(path), f"{dotted}: {text}{shown}")


def _written_path(loc: Iterable[Any], data: Any) -> KeyPath:
    """pydantic's location without the union members it puts in between."""
    path: list[Any] = []
    steps = list(loc)
    for index, step in enumerate(steps):
        is_last = index == len(steps) - 1
        in_list = isinstance(data, list) and isinstance(step, int) and step < len(data)
        if in_list or (isinstance(data, dict) and step in data):
            data = data[step]
        elif not (is_last and isinstance(data, dict)):
            continue
        path.append(step)
    return tuple(path)


def _field_names(path: KeyPath, data: Any) -> list[str]:
    """The keys that a section of the spec may have; of its kind only, where `name` or `type` says which."""
    models: list[type[BaseModel]] = [Sweep]
    for step in path:
        fields = [model.model_fields[step] for model in models if step in model.model_fields]
        models = [model for field in fields for model in _models_in(field.annotation)]
        data = data.get(step) if isinstance(data, dict) else None
        models = [model for model in models if _is_of_kind(model, data)] or models
    return sorted({name for model in models for name in model.model_fields})


def _is_of_kind(model: type[BaseModel], data: Any) -> bool:
    tags = [tag for tag in ("name", "type") if tag in model.model_fields and isinstance(data, dict)]
    return all(data.get(tag) in get_args(model.model_fields[tag].annotation) for tag in tags)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, dict) or get_args(annotation):
        return [model for inner in get_args(annotation) for model in _models_in(inner)]
    return []
