"""What a report on IMPALA needs: how far behind the samples are, and where the time goes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ray.rllib.core import ALL_MODULES
from ray.rllib.core.columns import Columns
from ray.rllib.utils.metrics import (
    CONNECTOR_PIPELINE_TIMER,
    DIFF_NUM_GRAD_UPDATES_VS_SAMPLER_POLICY,
    ENV_RUNNER_RESULTS,
    LEARNER_CONNECTOR,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_TRAINED_LIFETIME,
    REPLAY_BUFFER_SAMPLE_TIMER,
    SAMPLE_TIMER,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)

from callbacks.worker.trial_callback import TrialCallback, TrialFacts, learner_metrics

SAMPLE_WAIT_TIMER = "sample_wait_timer"
"""What our env runners call the seconds between the end of a sample and the next one's beginning."""

QUEUE_LENGTH = "queue_length"
"""Metric key: batches that wait for the learner's thread when it has made an update."""

QUEUE_WAIT_TIMER = "learner_thread_in_queue_wait_timer"
"""RLlib's name of the seconds that the learner's thread waits for a batch."""

EVERY_MINIBATCHES = 16
C_BAR = 1.0
"""Where V-trace clips its trace coefficients; fixed in RLlib (Espeholt et al. 2018, section 4.1)."""

ASYNCHRONOUS = ("impala", "appo")
ACTOR_CRITIC = ("ppo", "appo", "impala")

_RATIOS = ("ratio_min", "ratio_mean", "ratio_max", "rho_clipped_share", "c_clipped_share", "kl")
_SECONDS = ("forward_seconds", "backward_seconds", "optimizer_seconds")


class LearnerDiagnostics(TrialCallback):
    """Off-policyness, and the seconds of each part of an update.

    Keys, all with `diagnostics/`:

    - `ratio_min`, `ratio_mean`, `ratio_max`: importance ratios pi/mu of the last minibatch looked at,
      `rho_clipped_share`, `c_clipped_share`: of them above V-trace's rho-bar and c-bar (IMPALA, APPO), `kl`
      of mu and pi, `policy_lag_updates`: updates since the policy that sampled. Not for DQN, which replays.
    - `batching_seconds` of a train batch, `forward_seconds`, `backward_seconds`, `optimizer_seconds` of a
      minibatch, `weight_sync_seconds`.
    - `queue_length`, `queue_wait_seconds`: batches that wait for the learner, and how long it waits for one
      (IMPALA, APPO); `sample_seconds`, `sample_wait_seconds`: of one sample of an env runner, and how long it
      has nothing to do before the next.
    - `env_steps_produced_per_second`, `env_steps_consumed_per_second`; each epoch consumes its steps again.

    Args:
        every: minibatches between two looks at ratios.
    """

    def __init__(self, every: int = EVERY_MINIBATCHES) -> None:
        super().__init__()
        self._every, self._seen = every, 0
        self._before: tuple[float, float, float] | None = None

    def keys(self, facts: TrialFacts) -> Sequence[str]:
        is_asynchronous = facts.algorithm in ASYNCHRONOUS
        ratios = [key for key in _RATIOS if is_asynchronous or "clipped" not in key]
        found = [
            *([*ratios, "policy_lag_updates"] if facts.algorithm in ACTOR_CRITIC else []),
            *("batching_seconds", *_SECONDS, "weight_sync_seconds"),
            *(["queue_length", "queue_wait_seconds"] if is_asynchronous else []),
            *(
                "sample_seconds",
                "sample_wait_seconds",
                "env_steps_produced_per_second",
                "env_steps_consumed_per_second",
            ),
        ]
        return [f"diagnostics/{key}" for key in found]

    def on_loss(
        self,
        *,
        learner: Any,
        module_id: str,
        config: Any,
        batch: Mapping[str, Any],
        fwd_out: Mapping[str, Any],
    ) -> None:
        self._seen += 1
        if (self._seen - 1) % self._every or Columns.ACTION_LOGP not in batch:
            return
        with torch.no_grad():
            found = ratios(learner.module[module_id], config, batch, fwd_out)
        for key, value in found.items():
            learner.metrics.log_value((module_id, key), value, window=1)

    def on_times(self, *, learner: Any, forward: float, backward: float, optimizer: float) -> None:
        for key, value in zip(_SECONDS, (forward, backward, optimizer), strict=True):
            learner.metrics.log_value((ALL_MODULES, key), value, window=1)
        queue = getattr(learner, "_learner_thread_in_queue", None)  # RLlib has no other way to its length
        if queue is not None:
            learner.metrics.log_value((ALL_MODULES, QUEUE_LENGTH), queue.qsize(), window=1)

    def row(self, result: Mapping[str, Any]) -> Mapping[str, float]:
        module, runners = learner_metrics(result), result.get(ENV_RUNNER_RESULTS, {})
        learner, timers = result.get(LEARNER_RESULTS, {}).get(ALL_MODULES, {}), result.get(TIMERS, {})
        connector = learner.get(LEARNER_CONNECTOR, {}).get(CONNECTOR_PIPELINE_TIMER)
        found = {key: module.get(key) for key in _RATIOS} | {key: learner.get(key) for key in _SECONDS}
        found |= {
            "policy_lag_updates": module.get(DIFF_NUM_GRAD_UPDATES_VS_SAMPLER_POLICY),
            "batching_seconds": timers.get(REPLAY_BUFFER_SAMPLE_TIMER) if connector is None else connector,
            "weight_sync_seconds": timers.get(SYNCH_WORKER_WEIGHTS_TIMER),
            "queue_length": learner.get(QUEUE_LENGTH),
            "queue_wait_seconds": learner.get(QUEUE_WAIT_TIMER),
            "sample_seconds": runners.get(SAMPLE_TIMER),
            "sample_wait_seconds": runners.get(SAMPLE_WAIT_TIMER),
        }
        found |= self._rates(
            float(runners.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, math.nan)),
            float(learner.get(NUM_ENV_STEPS_TRAINED_LIFETIME, math.nan)),
        )
        return {f"diagnostics/{key}": float(value) for key, value in found.items() if value is not None}

    def _rates(self, produced: float, consumed: float) -> dict[str, float]:
        """Env steps per second since the row before."""
        now, before = time.monotonic(), self._before
        self._before = (now, produced, consumed)
        if before is None:
            return {}
        seconds = now - before[0]
        return {
            "env_steps_produced_per_second": (produced - before[1]) / seconds,
            "env_steps_consumed_per_second": (consumed - before[2]) / seconds,
        }


def ratios(
    module: Any, config: Any, batch: Mapping[str, torch.Tensor], fwd_out: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Importance ratios pi/mu of a minibatch (Espeholt et al. 2018, section 4.1).

    Args:
        module: the RLModule that is trained, pi.
        config: of the algorithm; `vtrace_clip_rho_threshold` is rho-bar.
        batch: `actions`, `action_logp`, `action_dist_inputs` of mu, (B, …), and `loss_mask` (B,) if any.
        fwd_out: `action_dist_inputs` of pi.

    Returns:
        Scalars: least, mean and largest ratio, the shares above rho-bar and c-bar where the algorithm clips
        there, and the mean KL(mu || pi).
    """
    unwrapped = module.unwrapped()
    mask = batch.get(Columns.LOSS_MASK)
    rows = slice(None) if mask is None else mask.bool()
    distribution = unwrapped.get_train_action_dist_cls()
    pi = distribution.from_logits(fwd_out[Columns.ACTION_DIST_INPUTS][rows].float())
    ratio = torch.exp(pi.logp(batch[Columns.ACTIONS][rows]) - batch[Columns.ACTION_LOGP][rows])
    found = {"ratio_min": ratio.min(), "ratio_mean": ratio.mean(), "ratio_max": ratio.max()}
    rho_bar = getattr(config, "vtrace_clip_rho_threshold", None)
    if rho_bar is not None:
        found["rho_clipped_share"] = (ratio > rho_bar).float().mean()
        found["c_clipped_share"] = (ratio > C_BAR).float().mean()
    if Columns.ACTION_DIST_INPUTS in batch:
        mu = distribution.from_logits(batch[Columns.ACTION_DIST_INPUTS][rows].float())
        found["kl"] = mu.kl(pi).mean()
    return found
