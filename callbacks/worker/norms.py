"""How large gradients and weights are, layer by layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from callbacks.worker.trial_callback import TrialCallback, TrialFacts, learner_metrics, trained_parameters

EVERY_UPDATES = 16
"""Minibatches between two looks: a norm is one pass over the weights, a few per cent of an update."""


def layer_groups(names: Sequence[str]) -> list[str]:
    """The layers that parameters belong to: `torso.0.weight` and `torso.0.bias` are one, `torso.0`."""
    return list(dict.fromkeys(layer_of(name) for name in names))


def layer_of(name: str) -> str:
    """The layer of one parameter."""
    return name.rpartition(".")[0] or name


class _Norms(TrialCallback):
    """Euclidean norms of tensors, grouped by layer."""

    prefix: str

    def keys(self, facts: TrialFacts) -> Sequence[str]:
        return [f"{self.prefix}/{group}" for group in layer_groups(facts.parameters)]

    def row(self, result: Mapping[str, Any]) -> Mapping[str, float]:
        found = learner_metrics(result).get(self.prefix, {})
        return {f"{self.prefix}/{group}": float(norm) for group, norm in found.items()}

    def _log(self, learner: Any, module_id: str, tensors: Mapping[str, torch.Tensor]) -> None:
        groups: dict[str, list[torch.Tensor]] = defaultdict(list)
        for name, tensor in tensors.items():
            groups[layer_of(name)].append(tensor)
        for group, members in groups.items():
            norm = torch.nn.utils.get_total_norm(members)
            learner.metrics.log_value((module_id, self.prefix, group), norm, window=1)


class GradientNorms(_Norms):
    """The norm of each layer's gradient before clipping, of the last minibatch that was looked at.

    Keys: `gradient_norm/<layer>`.

    Args:
        every: minibatches between two looks.
    """

    prefix = "gradient_norm"

    def __init__(self, every: int = EVERY_UPDATES) -> None:
        super().__init__()
        self._every, self._seen = every, 0
        self._names: dict[Any, str] = {}

    def on_gradients(self, *, learner: Any, module_id: str, gradients: Mapping[Any, Any]) -> None:
        self._seen += 1
        if (self._seen - 1) % self._every:
            return
        if not self._names:
            trained = trained_parameters(learner.module[module_id])
            self._names = {learner.get_param_ref(parameter): name for name, parameter in trained.items()}
        self._log(
            learner,
            module_id,
            {name: gradients[ref] for ref, name in self._names.items() if ref in gradients},
        )


class WeightNorms(_Norms):
    """The norm of each layer's weights.

    Keys: `weight_norm/<layer>`.

    Args:
        every: updates between two looks.
    """

    prefix = "weight_norm"

    def __init__(self, every: int = EVERY_UPDATES) -> None:
        super().__init__()
        self._every, self._seen = every, 0

    def on_update_end(self, *, learner: Any, seconds: float, waited: float) -> None:
        self._seen += 1
        if (self._seen - 1) % self._every == 0:
            trained = trained_parameters(learner.module[DEFAULT_MODULE_ID])
            self._log(learner, DEFAULT_MODULE_ID, {name: one.detach() for name, one in trained.items()})
