"""How large gradients and weights are, layer by layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from callbacks.worker.trial_callback import (
    EVERY_MINIBATCHES,
    Minibatch,
    TrialCallback,
    TrialFacts,
    learner_metrics,
    trained_parameters,
)


def layer_groups(names: Sequence[str]) -> list[str]:
    """The layers that parameters belong to: `torso.0.weight` and `torso.0.bias` are one, `torso.0`."""
    return list(dict.fromkeys(layer_of(name) for name in names))


def layer_of(name: str) -> str:
    """The layer of one parameter."""
    return name.rpartition(".")[0] or name


class _Norms(TrialCallback):
    """Euclidean norms of tensors, grouped by layer, of the last minibatch that was looked at.

    Args:
        every: minibatches between two looks.
    """

    prefix: str

    def __init__(self, every: int = EVERY_MINIBATCHES) -> None:
        super().__init__()
        self.every = every

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
    """The norm of each layer's gradient before clipping. Keys: `gradient_norm/<layer>`."""

    prefix = "gradient_norm"

    def on_gradients(self, *, learner: Any, module_id: str, gradients: Mapping[Any, Any]) -> None:
        trained = trained_parameters(learner.module[module_id])
        found = {name: gradients.get(learner.get_param_ref(one)) for name, one in trained.items()}
        self._log(learner, module_id, {name: one for name, one in found.items() if one is not None})


class WeightNorms(_Norms):
    """The norm of each layer's weights. Keys: `weight_norm/<layer>`."""

    prefix = "weight_norm"

    def on_loss(self, *, learner: Any, minibatch: Minibatch) -> None:
        trained = trained_parameters(minibatch.module)
        self._log(learner, minibatch.module_id, {name: one.detach() for name, one in trained.items()})
