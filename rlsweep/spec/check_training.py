"""What is wrong with a value of `training:`, written or swept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlsweep.errors import Issue, Location, nearest
from rlsweep.spec.hyperparameters import (
    BOUNDS,
    PER_LEARNER,
    REPLAY_BUFFER,
    REPLAY_SETTINGS,
    REPLAY_TYPES,
    Hyperparameter,
    hyperparameters,
)
from rlsweep.spec.schedules import SCHEDULABLE, SHAPES, is_schedule, schedule_points
from rlsweep.spec.source import Document

_ANY_LENGTH = 10**9
"""A schedule is checked before the trial's length is known to be right."""


SYNONYMS = {
    "batch_size": "minibatch_size",
    "clip_range": "clip_param",
    "ent_coef": "entropy_coeff",
    "gae_lambda": "lambda_",
    "lambda": "lambda_",
    "learning_rate": "lr",
    "learning_starts": "num_steps_sampled_before_learning_starts",
    "buffer_size": "replay_buffer_config",
    "lr_schedule": "lr",
    "max_grad_norm": "grad_clip",
    "n_epochs": "num_epochs",
    "num_sgd_iter": "num_epochs",
    "sgd_minibatch_size": "minibatch_size",
    "target_update_interval": "target_network_update_freq",
    "vf_coef": "vf_loss_coeff",
}
"""What Stable-Baselines3, CleanRL and the old RLlib call the same thing."""


@dataclass(frozen=True)
class Fault:
    """What is wrong, what is allowed, and the nearest valid name."""

    message: str
    allowed: str = ""
    suggestion: str = ""

    def at(self, location: Location) -> Issue:
        """The fault at the place it was written at."""
        return Issue(location, self.message, self.allowed, self.suggestion)


def training_issues(document: Document) -> list[Issue]:
    """Keys and values of `training:` that cannot be."""
    algorithm, training = str(document.data.get("algorithm")), document.data.get("training")
    if algorithm not in SCHEDULABLE or not isinstance(training, dict):
        return []  # issues of their own
    found = ((name, hyperparameter_fault(algorithm, name, value)) for name, value in training.items())
    return [fault.at(document.location(("training", name))) for name, fault in found if fault]


def hyperparameter_fault(algorithm: str, name: str, value: Any) -> Fault | None:
    """What is wrong with `training.<name>: value`; None where nothing is. `name` may be a path `a.b` into a
    mapping."""
    known = hyperparameters(algorithm)
    name, _, nested = name.partition(".")
    if name not in known:
        allowed = "the arguments of RLlib's AlgorithmConfig.training()"
        near = nearest(name, known) or SYNONYMS.get(name, "")
        return Fault(f"{algorithm} has no hyperparameter {name!r}", allowed, near if near in known else "")
    if nested and "mapping" not in known[name].kinds:
        return Fault(f"training.{name} holds one value, no keys", f"training.{name}")
    if nested and name == REPLAY_BUFFER:
        return _replay_fault({nested: value})
    if nested:
        return _nested_fault(known[name], name, nested)
    if is_schedule(value):
        return _schedule_fault(algorithm, name, value)
    if isinstance(value, list) and name in SCHEDULABLE[algorithm]:
        return _schedule_fault(algorithm, name, {"piecewise": value})  # RLlib's own way to write one
    if not known[name].takes(value):
        return _kind_fault(algorithm, known[name], name, value)
    if name == REPLAY_BUFFER and isinstance(value, dict):
        return _replay_fault(value)
    if isinstance(value, dict):
        return next((fault for key in value if (fault := _nested_fault(known[name], name, str(key)))), None)
    return _bounds_fault(name, value)


def _kind_fault(algorithm: str, found: Hyperparameter, name: str, value: Any) -> Fault:
    allowed = " or ".join(
        kind for kind in found.kinds if kind != "list" or name not in SCHEDULABLE[algorithm]
    )
    if name in SCHEDULABLE[algorithm]:
        allowed += ", or a schedule: {linear: [a, b]}, {cosine: [a, b]}, {piecewise: [[0, a], [1M, b]]}"
    suggestion = nearest(str(next(iter(value), "")), SHAPES) if isinstance(value, dict) else ""
    return Fault(f"training.{name}: {value!r} is of the wrong kind", allowed, suggestion)


def _nested_fault(found: Hyperparameter, name: str, nested: str) -> Fault | None:
    """A key inside of a mapping. RLlib alone knows all; a near miss of a default one is a slip."""
    key = nested.partition(".")[0]
    if key == PER_LEARNER or not isinstance(found.default, dict) or key in found.default:
        return None
    near = nearest(key, found.default)
    if not near:
        return None
    return Fault(f"training.{name} has no key {key!r}", ", ".join(found.default), near)


def _replay_fault(settings: Mapping[str, Any]) -> Fault | None:
    """What is wrong with settings of DQN's replay buffer, some or all of them."""
    where = f"training.{REPLAY_BUFFER}"
    for key, value in settings.items():
        if key not in REPLAY_SETTINGS:
            near = nearest(key, REPLAY_SETTINGS)
            return Fault(f"{where} has no key {key!r}", ", ".join(REPLAY_SETTINGS), near)
        if key == "type":
            if value not in REPLAY_TYPES:
                near = nearest(str(value), REPLAY_TYPES)
                return Fault(f"{where}.type: no replay buffer {value!r}", ", ".join(REPLAY_TYPES), near)
            continue
        wanted = REPLAY_SETTINGS[key]
        if not wanted.takes(value):
            return Fault(f"{where}.{key}: {value!r} is of the wrong kind", " or ".join(wanted.kinds))
        bounds = BOUNDS[f"{REPLAY_BUFFER}.{key}"]
        if not math.isfinite(value) or not bounds.hold(value):
            return Fault(f"{where}.{key}: {value:g} is out of range", str(bounds))
    if settings.get("type") == REPLAY_TYPES[0] and not settings.keys().isdisjoint(("alpha", "beta")):
        message = f"{where}: {REPLAY_TYPES[0]} draws all alike, it has no alpha and no beta"
        return Fault(message, f"type: {REPLAY_TYPES[1]}")
    return None


def _schedule_fault(algorithm: str, name: str, value: Any) -> Fault | None:
    if name not in SCHEDULABLE[algorithm]:
        allowed = f"a schedule for {', '.join(SCHEDULABLE[algorithm])}"
        return Fault(f"training.{name} cannot change while {algorithm} trains", allowed)
    try:
        points = schedule_points(value, _ANY_LENGTH)
    except ValueError as error:
        return Fault(f"training.{name}: {error}")
    return next((fault for _, number in points if (fault := _bounds_fault(name, number))), None)


def _bounds_fault(name: str, value: Any) -> Fault | None:
    number = value[PER_LEARNER] if isinstance(value, dict) and PER_LEARNER in value else value
    if not isinstance(number, (int, float)) or isinstance(number, bool):
        return None
    if not math.isfinite(number):
        return Fault(f"training.{name}: {value!r} is no number to train with", "finite numbers")
    if name in BOUNDS and not BOUNDS[name].hold(number):
        return Fault(f"training.{name}: {number:g} is out of range", str(BOUNDS[name]))
    return None
