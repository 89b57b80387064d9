"""Which actions the policy takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete

from callbacks.worker.trial_callback import TrialCallback, TrialFacts

ACTION_COUNTS = "action_counts"
"""Metric key: (num_actions,) counts, one item for each sample."""


class ActionHistogram(TrialCallback):
    """The share of each action in the env steps of an iteration; none where actions are not discrete.

    Keys: `action_share/<index>`, and `action_share/max`, which is 1 for a policy that does one thing only.
    """

    def keys(self, facts: TrialFacts) -> Sequence[str]:
        if not isinstance(facts.action_space, Discrete):
            return ()
        self._num_actions = int(facts.action_space.n)
        return [*(f"action_share/{index}" for index in range(self._num_actions)), "action_share/max"]

    def on_sample_end(self, *, env_runner: Any, metrics_logger: Any, samples: Any, **kwargs: Any) -> None:
        space = env_runner.env.single_action_space
        if samples and isinstance(space, Discrete):
            actions = np.concatenate([np.asarray(episode.get_actions()) for episode in samples])
            counts = np.bincount(actions, minlength=int(space.n))
            metrics_logger.log_value(ACTION_COUNTS, counts, reduce="item_series")

    def row(self, result: Mapping[str, Any]) -> Mapping[str, float]:
        items = result.get("env_runners", {}).get(ACTION_COUNTS)
        if items is None or len(items) == 0:
            return {}
        counts = np.concatenate([np.ravel(item) for item in items]).reshape(-1, self._num_actions).sum(axis=0)
        shares = counts / max(1, counts.sum())
        return {f"action_share/{i}": float(share) for i, share in enumerate(shares)} | {
            "action_share/max": float(shares.max())
        }
