"""What `training:` may say: the arguments of RLlib's `AlgorithmConfig.training()`, with kinds, defaults and
bounds.

Names, kinds and defaults are kept in a table, because asking RLlib costs seconds of imports and `validate`
answers at once. A test compares the table with the installed RLlib; `python -m rlsweep.rl.signatures` writes
it anew. The bounds are ours: RLlib trains with a negative learning rate without a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

PER_LEARNER = "per_learner"
"""`lr: {per_learner: 1.5e-4}`: multiplied by the number of learners."""


@dataclass(frozen=True)
class Hyperparameter:
    """One argument of `AlgorithmConfig.training()`.

    Attributes:
        kinds: of value that it takes (`number`, `integer`, `boolean`, `string`, `list`, `mapping`, `null`);
            none stand for anything.
        default: RLlib's.
    """

    kinds: tuple[str, ...]
    default: Any

    def takes(self, value: Any) -> bool:
        """Whether a value is of one of the kinds."""
        if isinstance(value, dict) and set(value) == {PER_LEARNER} and "number" in self.kinds:
            return "number" in _kinds_of(value[PER_LEARNER])
        return not self.kinds or bool(_kinds_of(value) & set(self.kinds))

    @property
    def is_integer(self) -> bool:
        """Whether it takes whole numbers only."""
        return "integer" in self.kinds and "number" not in self.kinds


@dataclass(frozen=True)
class Bounds:
    """An interval; an end that is `open` does not belong to it."""

    low: float | None = None
    high: float | None = None
    low_is_open: bool = False

    def hold(self, number: float) -> bool:
        """Whether a number lies inside."""
        if self.low is not None and (number < self.low or (self.low_is_open and number == self.low)):
            return False
        return self.high is None or number <= self.high

    def __str__(self) -> str:
        low = (
            ""
            if self.low is None
            else f"above {self.low:g}"
            if self.low_is_open
            else f"at least {self.low:g}"
        )
        high = "" if self.high is None else f"at most {self.high:g}"
        return " and ".join(part for part in (low, high) if part)


_POSITIVE = Bounds(low=0, low_is_open=True)
_NOT_NEGATIVE = Bounds(low=0)
_SHARE = Bounds(low=0, high=1)
_COUNT = Bounds(low=1)

BOUNDS: dict[str, Bounds] = {
    **dict.fromkeys(("gamma", "lambda_", "epsilon", "tau"), _SHARE),
    **dict.fromkeys(
        ("lr", "clip_param", "vf_clip_param", "vf_loss_coeff", "entropy_coeff", "kl_coeff", "kl_target"),
        _NOT_NEGATIVE,
    ),
    **dict.fromkeys(("grad_clip", "training_intensity", "sigma0"), _POSITIVE),
    **dict.fromkeys(
        ("vtrace_clip_rho_threshold", "vtrace_clip_pg_rho_threshold", "beta", "num_steps_delay"),
        _NOT_NEGATIVE,
    ),
    **dict.fromkeys(
        (
            "broadcast_interval",
            "minibatch_size",
            "n_step",
            "num_atoms",
            "num_epochs",
            "target_network_update_freq",
            "train_batch_size",
            "train_batch_size_per_learner",
        ),
        _COUNT,
    ),
    "num_steps_sampled_before_learning_starts": _NOT_NEGATIVE,
    "replay_buffer_config.capacity": _COUNT,
    "replay_buffer_config.alpha": _NOT_NEGATIVE,
    "replay_buffer_config.beta": _NOT_NEGATIVE,
}
"""Hyperparameter -> what its numbers have to lie in, a schedule's included."""


REPLAY_BUFFER = "replay_buffer_config"

REPLAY_TYPES = ("EpisodeReplayBuffer", "PrioritizedEpisodeReplayBuffer")
"""RLlib's names of DQN's replay buffers, uniform (Mnih et al. 2015) and prioritized (Schaul et al. 2016)."""

REPLAY_SETTINGS = {
    "type": Hyperparameter(("string",), None),
    "capacity": Hyperparameter(("integer",), None),
    "alpha": Hyperparameter(("number",), None),
    "beta": Hyperparameter(("number",), None),
}
"""Keys of `replay_buffer_config`. The capacity is in transitions; alpha is the exponent of the priorities,
beta that of the importance weights. The defaults are those of RLlib's whole mapping."""


@cache
def hyperparameters(algorithm: str) -> Mapping[str, Hyperparameter]:
    """All hyperparameters of one algorithm (`ppo`, `appo`, `impala`, `dqn`) by name.

    Raises:
        KeyError: no such algorithm.
    """
    table = json.loads(files(__package__).joinpath("hyperparameters.json").read_text("utf-8"))
    return {
        name: Hyperparameter(tuple(entry["kinds"]), entry["default"])
        for name, entry in table[algorithm].items()
    }


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
