"""The names and kinds of value that `training:` may use: the arguments of RLlib's
`AlgorithmConfig.training()`.

They are kept in a table, because asking RLlib costs seconds of imports and `validate` answers at once.
A test compares the table with the installed RLlib; `python -m rlsweep.rl.signatures` writes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

PER_LEARNER = "per_learner"
"""`lr: {per_learner: 1.5e-4}`: multiplied by the number of learners."""


@cache
def hyperparameters(algorithm: str) -> Mapping[str, list[str]]:
    """Hyperparameter name -> kinds of value, of one algorithm (`ppo`, `appo`, `impala`, `dqn`).

    Raises:
        KeyError: no such algorithm.
    """
    table = json.loads(files(__package__).joinpath("hyperparameters.json").read_text("utf-8"))
    return dict(table[algorithm])


def takes(kinds: list[str], value: Any) -> bool:
    """Whether a hyperparameter of these kinds takes the value; no kinds take anything."""
    if isinstance(value, dict) and set(value) == {PER_LEARNER} and "number" in kinds:
        return "number" in _kinds_of(value[PER_LEARNER])
    return not kinds or bool(_kinds_of(value) & set(kinds))


def _kinds_of(value: Any) -> set[str]:
    match value:
        case None:
            return {"null"}
        case bool():
            return {"boolean"}
        case int():
            return {"integer", "number"}
        case float():
            return {"number", "integer"} if value.is_integer() else {"number"}
        case str():
            return {"string"}
        case list() | tuple():
            return {"list"}
        case dict():
            return {"mapping"}
    return set()
