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
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)

from callbacks.worker.trial_callback import (
    EVERY_MINIBATCHES,
    Minibatch,
    TrialCallback,
    TrialFacts,
    learner_metrics,
)
from rlsweep.spec import ASYNCHRONOUS
from rlsweep.store.rows import SAMPLE_SECONDS, SAMPLE_WAIT_SECONDS

UPDATE_SECONDS = "update_seconds"
LEARNER_WAIT_SECONDS = "learner_wait_seconds"
"""Metric keys: seconds of an update, and those between its end and the next one's beginning."""

QUEUE_LENGTH = "queue_length"
"""Metric key: batches that wait for the learner's thread when it has made an update."""

WINDOW = 32
"""Measurements that a mean of seconds is taken over; RLlib's own timers remember hundreds."""

C_BAR = 1.0
"""Where V-trace clips its trace coefficients; fixed in RLlib (Espeholt et al. 2018, section 4.1)."""

_RATIOS = ("ratio_min", "ratio_mean", "ratio_max", "rho_clipped_share", "c_clipped_share", "kl")
_MINIBATCH_SECONDS = ("forward_seconds", "backward_seconds", "optimizer_seconds")
_SECONDS = (UPDATE_SECONDS, LEARNER_WAIT_SECONDS, *_MINIBATCH_SECONDS)


class LearnerDiagnostics(TrialCallback):
    """Off-policyness, and the seconds of each part of an update.

    Keys, all with `diagnostics/`:

    - `ratio_min`, `ratio_mean`, `ratio_max`: importance ratios pi/mu of the last minibatch looked at,
      `rho_clipped_share`, `c_clipped_share`: of them above V-trace's rho-bar and c-bar (IMPALA, APPO), `kl`
      of mu and pi, `policy_lag_updates`: updates since the policy that sampled. Not for DQN, which replays.
    - `update_seconds`, `learner_wait_seconds`: of one update, and how long the learner has nothing to do
      before the next; `forward_seconds`, `backward_seconds`, `optimizer_seconds` of a minibatch in it;
      `batching_seconds` of a train batch and `weight_sync_seconds`, RLlib's own means over hundreds of them;
      `queue_length`: batches that wait for the learner (IMPALA, APPO).
    - `sample_seconds`, `sample_wait_seconds`: of one sample of an env runner, and how long it has nothing to
      do before the next.
    - `env_steps_produced_per_second`, `env_steps_consumed_per_second`; each epoch consumes its steps again.

    Args:
        every: minibatches between two looks at ratios and the parts of a minibatch.
    """

    def __init__(self, every: int = EVERY_MINIBATCHES) -> None:
        super().__init__()
        self.every = every
        self._before: tuple[float, float, float] | None = None

    def keys(self, facts: TrialFacts) -> Sequence[str]:
        is_asynchronous = facts.algorithm in ASYNCHRONOUS
        ratio_keys = [key for key in _RATIOS if is_asynchronous or "clipped" not in key]
        found = [
            *([*ratio_keys, "policy_lag_updates"] if facts.has_policy else []),
            *(*_SECONDS, "batching_seconds", "weight_sync_seconds", SAMPLE_SECONDS, SAMPLE_WAIT_SECONDS),
            *(["queue_length"] if is_asynchronous else []),
            *("env_steps_produced_per_second", "env_steps_consumed_per_second"),
        ]
        return [f"diagnostics/{key}" for key in found]

    def on_loss(self, *, learner: Any, minibatch: Minibatch) -> None:
        if Columns.ACTION_LOGP in minibatch.columns:
            for key, value in ratios(minibatch).items():
                learner.metrics.log_value((minibatch.module_id, key), value, window=1)

    def on_times(self, *, learner: Any, forward: float, backward: float, optimizer: float) -> None:
        for key, seconds in zip(_MINIBATCH_SECONDS, (forward, backward, optimizer), strict=True):
            learner.metrics.log_value((ALL_MODULES, key), seconds, window=WINDOW)
        queue = getattr(learner, "_learner_thread_in_queue", None)  # RLlib has no other way to its length
        if queue is not None:
            learner.metrics.log_value((ALL_MODULES, QUEUE_LENGTH), queue.qsize(), window=WINDOW)

    def on_update_end(self, *, learner: Any, seconds: float, waited: float) -> None:
        learner.metrics.log_value((ALL_MODULES, UPDATE_SECONDS), seconds, window=WINDOW)
        if math.isfinite(waited):
            learner.metrics.log_value((ALL_MODULES, LEARNER_WAIT_SECONDS), waited, window=WINDOW)

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
            SAMPLE_SECONDS: runners.get(SAMPLE_SECONDS),
            SAMPLE_WAIT_SECONDS: runners.get(SAMPLE_WAIT_SECONDS),
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


@torch.no_grad()
def ratios(minibatch: Minibatch) -> dict[str, torch.Tensor]:
    """Importance ratios pi/mu of a minibatch (Espeholt et al. 2018, section 4.1).

    Args:
        minibatch: with `actions`, `action_logp` and `action_dist_inputs` of mu, (B, …), and `loss_mask` (B,)
            if any; the outputs hold pi's `action_dist_inputs`, `vtrace_clip_rho_threshold` of the config is
            rho-bar.

    Returns:
        Scalars: least, mean and largest ratio, the shares above rho-bar and c-bar where the algorithm clips
        there, and the mean KL(mu || pi).
    """
    columns, mask = minibatch.columns, minibatch.columns.get(Columns.LOSS_MASK)
    rows = slice(None) if mask is None else mask.bool()
    distribution = minibatch.module.get_train_action_dist_cls()
    pi = distribution.from_logits(minibatch.outputs[Columns.ACTION_DIST_INPUTS][rows].float())
    ratio = torch.exp(pi.logp(columns[Columns.ACTIONS][rows]) - columns[Columns.ACTION_LOGP][rows])
    found = {"ratio_min": ratio.min(), "ratio_mean": ratio.mean(), "ratio_max": ratio.max()}
    rho_bar = getattr(minibatch.config, "vtrace_clip_rho_threshold", None)
    if rho_bar is not None:
        found["rho_clipped_share"] = (ratio > rho_bar).float().mean()
        found["c_clipped_share"] = (ratio > C_BAR).float().mean()
    if Columns.ACTION_DIST_INPUTS in columns:
        mu = distribution.from_logits(columns[Columns.ACTION_DIST_INPUTS][rows].float())
        found["kl"] = mu.kl(pi).mean()
    return found
