"""pydantic's findings in the words of a spec's author, each with the place it was written at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from rlsweep.errors import Issue, Location, nearest
from rlsweep.spec.source import Document, KeyPath
from rlsweep.spec.sweep import Sweep

_WORDS = {
    "Input should be a valid integer, unable to parse string as an integer": "write a whole number",
    "Input should be a valid integer, got a number with a fractional part": "write a whole number",
    "Input should be a valid integer": "write a whole number",
    "Input should be a valid number, unable to parse string as a number": "write a number",
    "Input should be a valid number": "write a number",
    "Input should be a finite number": "write a finite number",
    "Input should be a valid string": "write text",
    "Input should be a valid boolean, unable to interpret input": "write true or false",
    "Input should be a valid boolean": "write true or false",
    "Input should be a valid tuple": "write a list",
    "Input should be a valid list": "write a list",
    "Input should be a valid dictionary": "write keys with values",
    "Input should be": "should be",
    "String should": "should",
    "Tuple should": "should",
    "Value should": "should",
    " after validation": "",
    "List should": "should",
}
"""pydantic's phrases in a spec author's."""


def validation_issues(error: ValidationError, document: Document) -> list[Issue]:
    """One issue for each place that is wrong.

    A value that fits no member of a union fails once for each member. The first word on it is enough, but of
    text that is none of some words these are told: `auto` may stand where a number does.
    """
    issues: dict[tuple[Location, KeyPath], Issue] = {}
    for details in error.errors(include_url=False):
        key = (document.location(written := written_path(details["loc"], document.data)), written)
        issue = _issue(details, document)
        if key in issues and details["type"] == "literal_error" and isinstance(details["input"], str):
            issues[key] = replace(issue, allowed=f"{issue.allowed}, or a number")
        issues.setdefault(key, issue)
    return list(issues.values())


def words(error: ValidationError, data: dict[str, Any]) -> list[str]:
    """pydantic's findings on data without places, each with what is allowed."""
    document = Document(data, {(): Location("")})
    return [
        str(replace(issue, location=Location(""))).removeprefix(": ")
        for issue in validation_issues(error, document)
    ]


def _issue(details: Any, document: Document) -> Issue:
    path = written_path(details["loc"], document.data)
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
    text = _in_plain_words(details["msg"].removeprefix("Value error, "))
    shown = "" if isinstance(given, (dict, list, BaseModel)) else f" (here: {given!r})"
    return Issue(document.location(path), f"{dotted}: {text}{shown}")


def _in_plain_words(text: str) -> str:
    for theirs, ours in _WORDS.items():
        text = text.replace(theirs, ours)
    return text


def written_path(loc: Iterable[Any], data: Any) -> KeyPath:
    """pydantic's location without the union members it puts in between."""
    path: list[Any] = []
    steps = list(loc)
    for index, step in enumerate(steps):
        is_last = index == len(steps) - 1
        in_list = isinstance(data, list) and isinstance(step, int) and step < len(data)
        if in_list or (isinstance(data, dict) and step in data):
            data = data[step]
        elif not (is_last and isinstance(data, dict)) or _is_union_member(step):
            continue
        path.append(step)
    return tuple(path)


def _is_union_member(step: Any) -> bool:
    """Whether a step of pydantic's location is a type of a union, and no key: `int`, `tuple[int, int]`."""
    return step in ("int", "float", "bool", "str") or "[" in str(step)


def _field_names(path: KeyPath, data: Any) -> list[str]:
    """The keys that a section of the spec may have; of its kind only, where `name` or `type` says which."""
    models: list[type[BaseModel]] = [Sweep]
    for step in path:
        if isinstance(data, list) and isinstance(step, int):
            data = data[step]
            continue
        models = [model for outer in models for model in models_in(_annotation(outer, step))]
        data = data.get(step) if isinstance(data, dict) else None
        models = [model for model in models if _is_of_kind(model, data)] or models
    return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})


def _annotation(model: type[BaseModel], key: Any) -> Any:
    """The type of what a section holds under a key; of other keys, where it takes any."""
    if key in model.model_fields:
        return model.model_fields[key].annotation
    return (
        get_type_hints(model).get("__pydantic_extra__")
        if model.model_config.get("extra") == "allow"
        else None
    )


def _is_of_kind(model: type[BaseModel], data: Any) -> bool:
    tags = [tag for tag in ("name", "type") if tag in model.model_fields and isinstance(data, dict)]
    return all(data.get(tag) in get_args(model.model_fields[tag].annotation) for tag in tags)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, dict) or get_args(annotation):
        return [model for inner in get_args(annotation) for model in models_in(inner)]
    return []
