"""The `custom/…` keys of a row: what the spec's callbacks found out in an iteration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ray.rllib.core import DEFAULT_MODULE_ID

from callbacks.worker.trial_callback import TrialCallback, TrialFacts, trained_parameters
from rlsweep.rl.callbacks import CALLBACKS
from rlsweep.store.rows import CUSTOM_PREFIX


class CustomMetrics:
    """The callbacks of one trial that add keys to its rows.

    Args:
        algorithm: RLlib's, with the callbacks made.
        name: ppo, appo, impala or dqn.
    """

    def __init__(self, algorithm: Any, name: str) -> None:
        keys = list(algorithm.config.learner_config_dict[CALLBACKS])  # the spec's are RLlib's last ones
        made = algorithm.callbacks[-len(keys) :] if keys else []
        by_key = zip(keys, made, strict=True)
        self._callbacks = {key: one for key, one in by_key if isinstance(one, TrialCallback)}
        facts = _facts(algorithm, name) if self._callbacks else None
        self._row_keys = {
            key: list(callback.keys(facts)) if facts else [] for key, callback in self._callbacks.items()
        }

    def row(self, result: Mapping[str, Any]) -> dict[str, float]:
        """Every key that was declared; NaN where an iteration has no value."""
        found: dict[str, float] = {}
        for key, callback in self._callbacks.items():
            values = callback.row(result)
            found |= {CUSTOM_PREFIX + name: values.get(name, math.nan) for name in self._row_keys[key]}
        return found

    def get_state(self) -> dict[str, Any]:
        """Of each callback, by its key in the spec."""
        return {key: callback.get_state() for key, callback in self._callbacks.items()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`; a callback that was not there then starts anew."""
        for key, callback in self._callbacks.items():
            if key in state:
                callback.set_state(state[key])


def _facts(algorithm: Any, name: str) -> TrialFacts:
    [parameters, *_] = [answer.get() for answer in algorithm.learner_group.foreach_learner(_parameter_names)]
    _, action_space = algorithm.spaces[DEFAULT_MODULE_ID]
    return TrialFacts(name, action_space, tuple(parameters))


def _parameter_names(learner: Any) -> list[str]:
    return list(trained_parameters(learner.module[DEFAULT_MODULE_ID]))
