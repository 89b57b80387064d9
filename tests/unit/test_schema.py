"""The JSON Schema: fresh, draft-07, takes every shipped file and refuses slips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rlsweep.spec.schema import schema
from rlsweep.spec.source import parse_file

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "docs" / "sweep.schema.json"
SHIPPED = sorted((ROOT / "sweeps").rglob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(COMMITTED.read_text("utf-8")))


def test_the_committed_schema_is_fresh() -> None:
    found = json.loads(json.dumps(schema()))
    assert found == json.loads(COMMITTED.read_text("utf-8")), (
        "run: rlsweep schema --output docs/sweep.schema.json"
    )
    jsonschema.Draft7Validator.check_schema(found)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_spec_fits(path: Path, validator: jsonschema.Draft7Validator) -> None:
    assert [error.message for error in validator.iter_errors(parse_file(path).data)] == []


@pytest.mark.parametrize(
    "data",
    [
        {"sede": 3},
        {"algorithm": "poo"},
        {"algorithm": "ppo", "training": {"lrr": 1}},
        {"algorithm": "dqn", "training": {"clip_param": 0.1}},
        {"training": {"lr": {"liner": [1, 0]}}},
        {"stop": {"env_steps": "soon"}},
        {"search": {"method": "tpee"}},
        {"search": {"parameters": {"training.lr": {"minn": 1}}}},
        {"profiles": {"smoke": {"stop": {"env_step": 3}}}},
        {"network": {"name": "nature"}},
    ],
    ids=str,
)
def test_a_slip_is_refused(data: dict[str, Any], validator: jsonschema.Draft7Validator) -> None:
    assert not validator.is_valid(data)


def test_every_key_of_a_section_is_explained() -> None:
    definitions = schema()["definitions"]
    missing = [
        f"{name}.{key}"
        for name in ("StopSpec", "BudgetSpec", "SearchSpec", "ResourceSpec", "EvaluationSpec", "AshaSpec")
        for key, value in definitions[name]["properties"].items()
        if "description" not in value and key != "type"
    ]
    assert missing == []
