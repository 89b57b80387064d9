"""The base of callbacks that add keys to the rows of their trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
from ray.rllib.callbacks.callbacks import RLlibCallback


@dataclass(frozen=True)
class TrialFacts:
    """What a callback's keys may depend on.

    Attributes:
        algorithm: ppo, appo, impala or dqn.
        action_space: of the environment.
        parameters: names of the parameters that are trained, as `trained_parameters` gives them.
    """

    algorithm: str
    action_space: gymnasium.Space[Any]
    parameters: tuple[str, ...]

    @property
    def has_policy(self) -> bool:
        """Whether a policy and its value function are trained; DQN trains action values."""
        return self.algorithm != "dqn"


@dataclass(frozen=True)
class Minibatch:
    """What a learner's loss is computed of.

    Attributes:
        module_id: RLlib's name of the module that is trained.
        module: that RLModule.
        config: of the algorithm, with the coefficients of this moment.
        columns: tensors (B, …) by RLlib's names.
        outputs: what `forward_train` gave for them.
    """

    module_id: str
    module: Any
    config: Any
    columns: Mapping[str, Any]
    outputs: Mapping[str, Any]


EVERY_MINIBATCHES = 16
"""What the shipped callbacks set `every` to: a look at weights or a second pass costs part of an update."""


class TrialCallback(RLlibCallback):
    """An RLlibCallback whose numbers become `custom/…` keys of the rows, there from the first row on.

    One instance lives in the trial's process, one in each env runner and one in each learner, each made from
    the spec's arguments. What env runners and learners log with RLlib's `metrics_logger` arrives in RLlib's
    result; `row` takes it from there.

    Attributes:
        every: the hooks of minibatches are called for one in so many; the costly ones set it higher.
    """

    every = 1

    def keys(self, facts: TrialFacts) -> Sequence[str]:
        """The keys that this callback adds, without `custom/`."""
        return ()

    def row(self, result: Mapping[str, Any]) -> Mapping[str, float]:
        """Values of one iteration, in the trial's process; a key that is left out is NaN in the row.

        Args:
            result: RLlib's, after `on_train_result`.
        """
        return {}

    def on_loss(self, *, learner: Any, minibatch: Minibatch) -> None:
        """In a learner, after the loss of a minibatch was computed; `learner.metrics` is its logger."""

    def on_gradients(self, *, learner: Any, module_id: str, gradients: Mapping[Any, Any]) -> None:
        """In a learner, after the backward pass of a minibatch and before clipping.

        Args:
            learner: `learner.metrics` is its logger.
            module_id: RLlib's name of the module.
            gradients: parameter -> its gradient.
        """

    def on_times(self, *, learner: Any, forward: float, backward: float, optimizer: float) -> None:
        """In a learner, after a minibatch. On a GPU it waits until the minibatch is done.

        Args:
            learner: `learner.metrics` is its logger.
            forward: seconds of the forward pass and the loss.
            backward: of the backward pass.
            optimizer: of clipping and the optimizer.
        """

    def on_update_end(self, *, learner: Any, seconds: float, waited: float) -> None:
        """In a learner, after each call of its `update`, which may hold many minibatches.

        Args:
            learner: `learner.metrics` is its logger.
            seconds: that the update took; on a GPU, until its last operation was launched.
            waited: between the end of the update before and the beginning of this one; NaN before the first.
        """

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the instance in the trial's process, as JSON values."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` gave."""


def trained_parameters(module: Any) -> dict[str, Any]:
    """The parameters of an RLModule that its learner changes; target networks are copies of others."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def learner_metrics(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the learners logged for their module."""
    found: Mapping[str, Any] = result.get("learners", {}).get("default_policy", {})
    return found


def overrides(callback: TrialCallback, hook: str) -> bool:
    """Whether a callback has a hook of its own."""
    return getattr(type(callback), hook) is not getattr(TrialCallback, hook)
