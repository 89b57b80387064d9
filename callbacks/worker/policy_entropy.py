"""How much the policy still explores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gymnasium.spaces import Discrete

from callbacks.worker.trial_callback import TrialCallback, TrialFacts, learner_metrics


class PolicyEntropy(TrialCallback):
    """The entropy of the policy that is trained, in nats, as its learner saw it last; none for DQN.

    Keys: `policy_entropy`, and for discrete actions `policy_entropy_share`, of the uniform policy's.
    """

    def keys(self, facts: TrialFacts) -> Sequence[str]:
        if not facts.has_policy:
            return ()
        space = facts.action_space
        num_actions = int(space.n) if isinstance(space, Discrete) else 0
        self._most = math.log(num_actions) if num_actions > 1 else math.nan
        return ("policy_entropy", *(["policy_entropy_share"] if math.isfinite(self._most) else []))

    def row(self, result: Mapping[str, Any]) -> Mapping[str, float]:
        entropy = learner_metrics(result).get("entropy")
        if entropy is None:
            return {}
        return {"policy_entropy": float(entropy), "policy_entropy_share": float(entropy) / self._most}
