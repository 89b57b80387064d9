"""The real arguments of every algorithm's `AlgorithmConfig.training()`, read from the installed RLlib.

`python -m rlsweep.rl.signatures` writes them into the table that the spec is checked against.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path

from ray._common.deprecation import DEPRECATED_VALUE
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

import rlsweep.spec
from rlsweep.rl.registry import CONFIG_CLASSES

_NOT_FOR_SPECS = {"self", "kwargs", "model", "learner_class", "learner_connector"}
"""Arguments that are objects, or that `network:` stands for."""


def training_arguments(config_class: type[AlgorithmConfig]) -> list[str]:
    """All hyperparameter names of `config_class.training`, its base classes' included, sorted.

    Arguments that RLlib keeps only to say that they are gone are left out.
    """
    names: set[str] = set()
    for base in config_class.__mro__:
        if "training" in vars(base):
            parameters = inspect.signature(vars(base)["training"]).parameters
            names |= {name for name, given in parameters.items() if given.default != DEPRECATED_VALUE}
    return sorted(names - _NOT_FOR_SPECS)


def table() -> dict[str, list[str]]:
    """Algorithm name -> hyperparameter names."""
    return {name: training_arguments(config) for name, config in CONFIG_CLASSES.items()}


if __name__ == "__main__":
    target = Path(rlsweep.spec.__file__).parent / "hyperparameters.json"
    target.write_text(json.dumps(table(), indent=1) + "\n", "utf-8")
