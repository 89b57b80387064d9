"""How good the value function is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from ray.rllib.algorithms.impala.torch.vtrace_torch_v2 import make_time_major, vtrace_torch
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing

from callbacks.worker.trial_callback import (
    EVERY_MINIBATCHES,
    Minibatch,
    TrialCallback,
    TrialFacts,
    learner_metrics,
)

KEYS = ("value/mean", "value/std", "value/explained_variance")


class ValueStats(TrialCallback):
    """The value function's predictions on a minibatch, and how much of their targets they explain.

    Keys: `value/mean`, `value/std`, `value/explained_variance`, which is 1 for a perfect value function, 0
    for one that knows the mean alone, and below 0 for a worse one. Targets are GAE's for PPO, and
    V-trace's of the policy that is trained for IMPALA and APPO. None for DQN, which has no value function.

    Args:
        every: minibatches between two looks.
    """

    def __init__(self, every: int = EVERY_MINIBATCHES) -> None:
        super().__init__()
        self.every = every

    def keys(self, facts: TrialFacts) -> Sequence[str]:
        return KEYS if facts.has_policy else ()

    def on_loss(self, *, learner: Any, minibatch: Minibatch) -> None:
        if Columns.ACTION_LOGP in minibatch.columns:
            values, targets = _values_and_targets(minibatch)
            found = (values.mean(), values.std(), explained_variance(values, targets))
            for key, value in zip(KEYS, found, strict=True):
                learner.metrics.log_value((minibatch.module_id, key), value, window=1)

    def row(self, result: Mapping[str, Any]) -> Mapping[str, float]:
        module = learner_metrics(result)
        return {key: float(module[key]) for key in KEYS if key in module}


def explained_variance(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """1 - Var(targets - values) / Var(targets), of (n,) each; NaN where the targets are all the same."""
    return 1 - (targets - values).var() / targets.var()


@torch.no_grad()
def _values_and_targets(minibatch: Minibatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the rows of a minibatch that are trained on, (n,) each."""
    module, columns, outputs = minibatch.module, minibatch.columns, minibatch.outputs
    values = module.compute_values(columns, embeddings=outputs.get(Columns.EMBEDDINGS)).float()
    if Postprocessing.VALUE_TARGETS in columns:
        targets, mask = columns[Postprocessing.VALUE_TARGETS], columns.get(Columns.LOSS_MASK)
    else:
        policy = module.get_train_action_dist_cls().from_logits(outputs[Columns.ACTION_DIST_INPUTS])
        logp = policy.logp(columns[Columns.ACTIONS])
        values, targets, mask = _v_trace(minibatch.config, columns, values, logp)
    return (values, targets) if mask is None else (values[mask.bool()], targets[mask.bool()])


def _v_trace(
    config: Any, batch: Mapping[str, Any], values: torch.Tensor, logp: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Values, V-trace targets (Espeholt et al. 2018, equation 1) and mask as in RLlib's loss, (T, B) each."""
    by_time = partial(make_time_major, trajectory_len=config.get_rollout_fragment_length())
    mask, ordered = by_time(batch[Columns.LOSS_MASK].float()), by_time(values)
    goes_on = 1.0 - by_time(batch[Columns.TERMINATEDS]).float()
    targets, _ = vtrace_torch(
        target_action_log_probs=by_time(logp),
        behaviour_action_log_probs=by_time(batch[Columns.ACTION_LOGP]),
        discounts=goes_on * config.gamma * mask,
        rewards=by_time(batch[Columns.REWARDS]),
        values=ordered,
        bootstrap_values=torch.cat([ordered[0][1:], ordered[0][:1]]),
        clip_rho_threshold=config.vtrace_clip_rho_threshold,
        clip_pg_rho_threshold=config.vtrace_clip_pg_rho_threshold,
    )
    return ordered, targets, mask
