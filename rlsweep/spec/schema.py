"""The spec as a JSON Schema (draft-07), for editors: names, kinds and what each key means.

Made from the same models that check a spec. A file may be partial (a base, a profile, a child of `extends`),
so nothing is required here; what is missing in the end, `rlsweep validate` says.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from rlsweep.spec.check import models_in
from rlsweep.spec.hyperparameters import PER_LEARNER, Hyperparameter, hyperparameters
from rlsweep.spec.parameters import Distribution
from rlsweep.spec.schedules import SCHEDULABLE
from rlsweep.spec.sweep import Algorithm, Sweep

DRAFT = "http://json-schema.org/draft-07/schema#"

_SCHEDULE = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {
        "linear": {"description": "[start, end] over stop.env_steps", "$ref": "#/definitions/Ends"},
        "cosine": {"description": "[start, end], half a cosine", "$ref": "#/definitions/Ends"},
        "piecewise": {
            "description": "[[env steps, value], ...], straight lines between",
            "type": "array",
            "items": {"type": "array", "minItems": 2, "maxItems": 2},
            "minItems": 2,
        },
    },
}
_ENDS = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
_PER_LEARNER = {
    "type": "object",
    "additionalProperties": False,
    "properties": {PER_LEARNER: {"type": "number", "description": "multiplied by the number of learners"}},
}
_ATTRIBUTE = re.compile(r"^ {4}([a-z_, ]+): (.+?)(?=^ {4}\S|\Z)", flags=re.MULTILINE | re.DOTALL)
"""`    name: what it means`, over one line or several, of a docstring."""

_NAMED = ("properties", "definitions")
_DROPPED = ("required", "default", "discriminator", "title")
_JSON_TYPES = {"list": "array", "mapping": "object"}


def schema() -> dict[str, Any]:
    """The schema of a spec file."""
    made = Sweep.model_json_schema(schema_generator=_Draft7, ref_template="#/definitions/{model}")
    definitions = made.pop("$defs")
    for model in _models():
        _describe(definitions[model.__name__], model)
    definitions |= {"Schedule": _SCHEDULE, "Ends": _ENDS, "PerLearner": _PER_LEARNER}
    for algorithm in get_args(Algorithm):
        definitions[f"training_{algorithm}"] = _training(algorithm)
    any_training = [{"$ref": f"#/definitions/training_{name}"} for name in get_args(Algorithm)]
    sections = made["properties"] | {"training": {"anyOf": any_training}}
    definitions["PartialSpec"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": sections,
        "allOf": [_training_of(algorithm) for algorithm in get_args(Algorithm)],
    }
    extends = {"type": "string", "description": "a spec that this one is laid over"}
    profiles = {"type": "object", "additionalProperties": {"$ref": "#/definitions/PartialSpec"}}
    profiles["description"] = "partial specs by name: --profile NAME lays one over the rest"
    return {
        "$schema": DRAFT,
        "title": "rlsweep spec",
        "description": "One sweep, or a part of one. `rlsweep validate` checks more than this.",
        "type": "object",
        "additionalProperties": False,
        "properties": _partial(sections) | {"extends": extends, "profiles": profiles},
        "allOf": definitions["PartialSpec"]["allOf"],
        "definitions": {name: _partial(definitions[name]) for name in sorted(definitions)},
    }


class _Draft7(GenerateJsonSchema):
    """pydantic's schema without what draft-07 lacks."""

    def tuple_schema(self, schema: Any) -> Any:
        made = super().tuple_schema(schema)
        if "prefixItems" in made:
            made["items"] = made.pop("prefixItems")
        return made


def _training(algorithm: str) -> dict[str, Any]:
    known = hyperparameters(algorithm)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _hyperparameter(algorithm, name, found) for name, found in known.items()},
    }


def _hyperparameter(algorithm: str, name: str, found: Hyperparameter) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = [{"type": _JSON_TYPES.get(kind, kind)} for kind in found.kinds]
    if "number" in found.kinds:
        kinds.append({"$ref": "#/definitions/PerLearner"})
    if name in SCHEDULABLE[algorithm]:
        kinds.append({"$ref": "#/definitions/Schedule"})
    described = {"description": f"RLlib's default: {found.default!r}"}
    return described | ({"anyOf": kinds} if len(kinds) > 1 else kinds[0] if kinds else {})


def _training_of(algorithm: str) -> dict[str, Any]:
    return {
        "if": {"properties": {"algorithm": {"const": algorithm}}, "required": ["algorithm"]},
        "then": {"properties": {"training": {"$ref": f"#/definitions/training_{algorithm}"}}},
    }


def _models() -> list[type[BaseModel]]:
    """Every section of a spec."""
    fields = [field.annotation for field in Sweep.model_fields.values()]
    return list(dict.fromkeys([*models_in(tuple[tuple(fields)]), Distribution]))  # type: ignore[misc]


def _describe(definition: dict[str, Any], model: type[BaseModel]) -> None:
    """Put what a model's docstring says of its attributes beside the keys."""
    text, _, attributes = inspect.cleandoc(model.__doc__ or "").partition("\n\nAttributes:\n")
    definition["description"] = re.sub(r"\s+", " ", text)
    for names, meaning in _ATTRIBUTE.findall(attributes):
        for name in names.split(", "):
            if name in definition["properties"]:
                definition["properties"][name]["description"] = re.sub(r"\s+", " ", meaning).strip()


def _partial(made: Any) -> Any:
    """A schema of whatever part of a spec: nothing is required, and what a section is need not be said."""
    if isinstance(made, list):
        return [_partial(item) for item in made]
    if not isinstance(made, dict):
        return made
    kept: dict[str, Any] = {}
    for key, value in made.items():
        if key in _NAMED:
            kept[key] = {name: _partial(inner) for name, inner in value.items()}
        elif key == "if":
            kept[key] = value
        elif key not in _DROPPED:
            kept["anyOf" if key == "oneOf" else key] = _partial(value)
    return kept
