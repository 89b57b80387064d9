"""The real arguments of every algorithm's `AlgorithmConfig.training()`, read from the installed RLlib.

`python -m rlsweep.rl.signatures` writes them into the table that the spec is checked against.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from ray._common.deprecation import DEPRECATED_VALUE
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

import rlsweep.spec
from rlsweep.rl.registry import CONFIG_CLASSES
from rlsweep.spec import ASYNCHRONOUS

_NOT_FOR_SPECS = {
    "self",
    "kwargs",
    "model",
    "learner_class",
    "learner_config_dict",
    "learner_connector",
    "timeout_s_sampler_manager",
}
"""Arguments that are objects, that `network:` stands for, or that `rlsweep.rl.algorithms` sets itself."""

_WITHOUT_EFFECT = {
    "adam_epsilon",
    "before_learn_on_batch",
    "categorical_distribution_temperature",
    "decay",
    "entropy_coeff_schedule",
    "hiddens",
    "lr_schedule",
    "minibatch_buffer_size",
    "momentum",
    "num_multi_gpu_tower_stacks",
    "opt_type",
    "optimizer",
    "replay_buffer_num_slots",
    "replay_proportion",
    "store_buffer_in_checkpoints",
    "target_worker_clipping",
    "timeout_s_aggregator_manager",
    "_lr_vf",
    "_separate_vf_optimizer",
}
"""Arguments of the old API stack that RLlib still takes and never reads on the new one (looked up in its
sources): a sweep over one would show no effect and say nothing."""

_SCHEDULABLE = {"entropy_coeff", "epsilon", "lr"}
"""Take RLlib's [[env steps, value], ...] too, which the annotations do not say everywhere."""

_KINDS = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    dict: "mapping",
    list: "list",
    tuple: "list",
    type(None): "null",
}


def training_arguments(config_class: type[AlgorithmConfig]) -> dict[str, dict[str, Any]]:
    """Hyperparameter name -> the `kinds` of value it takes and its `default`, base classes' arguments
    included.

    No kinds stand for an argument whose annotation says nothing of plain values; `null` is one only where it
    is the default, whatever the annotation says. Arguments that RLlib keeps only to say that they are gone
    are left out.
    """
    config = config_class()
    found: dict[str, set[str]] = {}
    for base in reversed(config_class.__mro__):
        training = vars(base).get("training")
        if training is None:
            continue
        for name, parameter in inspect.signature(training).parameters.items():
            if parameter.default == DEPRECATED_VALUE:
                found.pop(name, None)
            elif name not in _NOT_FOR_SPECS | _WITHOUT_EFFECT:
                kinds = _kinds(parameter.annotation) | ({"list"} if name in _SCHEDULABLE else set())
                found[name] = found.get(name, set()) | kinds
    return {name: _description(kinds, getattr(config, name, None)) for name, kinds in sorted(found.items())}


def table() -> dict[str, dict[str, dict[str, Any]]]:
    """Algorithm name -> its hyperparameters, their kinds and RLlib's defaults."""
    found = {name: training_arguments(config) for name, config in CONFIG_CLASSES.items()}
    for name in ASYNCHRONOUS:
        found[name].pop("epsilon")  # RMSProp's, which the new stack does not have; DQN's explores
    return found


def _description(kinds: set[str], default: Any) -> dict[str, Any]:
    if default is not None:
        kinds = kinds - {"null"}
    return {"kinds": sorted(kinds), "default": json.loads(json.dumps(default, default=str))}


def _kinds(annotation: Any) -> set[str]:
    if isinstance(annotation, type) and annotation in _KINDS:
        return {_KINDS[annotation]}
    origin = get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, (list, tuple)):
        return {"list"}
    if isinstance(origin, type) and issubclass(origin, (dict, Mapping)):
        return {"mapping"}
    return {kind for inner in get_args(annotation) for kind in _kinds(inner)}


if __name__ == "__main__":
    target = Path(rlsweep.spec.__file__).parent / "hyperparameters.json"
    target.write_text(json.dumps(table(), indent=1) + "\n", "utf-8")
