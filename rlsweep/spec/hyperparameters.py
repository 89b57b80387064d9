"""The names that `training:` may use: the arguments of RLlib's `AlgorithmConfig.training()`.

They are kept in a table, because asking RLlib costs seconds of imports and `validate` answers at once.
A test compares the table with the installed RLlib; `python -m rlsweep.rl.signatures` writes it anew.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files


@cache
def hyperparameters(algorithm: str) -> frozenset[str]:
    """The hyperparameter names of one algorithm (`ppo`, `appo`, `impala`, `dqn`).

    Raises:
        KeyError: no such algorithm.
    """
    table = json.loads(files(__package__).joinpath("hyperparameters.json").read_text("utf-8"))
    return frozenset(table[algorithm])
