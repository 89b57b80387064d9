"""What goes wrong in a trial, seen in its last rows. Rules are pure: rows in, a symptom or None out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from rlsweep.store.rows import CUSTOM_PREFIX, ENV_STEPS, GAMES, LEARNER_PREFIX, SCORE
from rlsweep.store.symptoms import Symptom

Rows = Sequence[Mapping[str, Any]]
"""Rows of one trial, the oldest first."""

LONG_ROWS = 50
SHORT_ROWS = 10
"""Rows that a rule looks at: games and scores come slowly, what a learner says comes with every row."""

UNCHANGED_ENV_STEPS = 1_000_000
UNCHANGED_SHARE = 0.01
"""A score is unchanged whose range over so many env steps is less than a hundredth of its mean."""

COLLAPSED_ENTROPY_SHARE = 0.02
"""Of the entropy that the policy began with, which is near that of the uniform one."""

EXPLODING_FACTOR = 100.0
VANISHING_NORM = 1e-6
DIVERGING_FACTOR = 100.0
DEAD_POLICY_SHARE = 0.99

ENTROPY = LEARNER_PREFIX + "entropy"
GRADIENT_NORM = LEARNER_PREFIX + "gradient_norm"
EXPLAINED_VARIANCE = LEARNER_PREFIX + "vf_explained_var"
SKIPPED_UPDATES = LEARNER_PREFIX + "skipped_updates"
VALUE_LOSSES = (LEARNER_PREFIX + "vf_loss", LEARNER_PREFIX + "qf_loss")
TOP_ACTION_SHARE = CUSTOM_PREFIX + "action_share/max"

Rule = Callable[[Rows], Symptom | None]


def no_whole_game(rows: Rows) -> Symptom | None:
    """No game has ended in the last LONG_ROWS rows."""
    last = rows[-LONG_ROWS:]
    if len(last) < LONG_ROWS or last[0][GAMES] != last[-1][GAMES]:
        return None
    env_steps = last[-1][ENV_STEPS] - last[0][ENV_STEPS]
    return Symptom(
        "no_whole_game",
        f"no whole game has ended in {LONG_ROWS} rows ({env_steps:,} env steps)",
        "set env.max_frames lower, or look at a rollout: the policy may wait for ever",
    )


def collapsed_entropy(rows: Rows) -> Symptom | None:
    """The policy has become deterministic. Continuous actions are left out: their entropy has no zero."""
    entropies, last = _values(rows, ENTROPY), _values(rows[-SHORT_ROWS:], ENTROPY)
    if len(last) < SHORT_ROWS or min(entropies) < 0 or max(last) >= COLLAPSED_ENTROPY_SHARE * entropies[0]:
        return None
    first = entropies[0]
    return Symptom(
        "entropy_collapse",
        f"the policy's entropy fell from {first:.2g} to {last[-1]:.2g}: it no longer explores",
        "raise training.entropy_coeff, or lower training.lr",
    )


def exploding_gradients(rows: Rows) -> Symptom | None:
    """The gradient's norm is far above what it was."""
    norms = _values(rows, GRADIENT_NORM)
    before, last = norms[:-SHORT_ROWS], norms[-SHORT_ROWS:]
    if len(before) < SHORT_ROWS or not min(last) > EXPLODING_FACTOR * median(before):
        return None
    return Symptom(
        "exploding_gradients",
        f"the gradient's norm rose from {median(before):.2g} to {last[-1]:.2g}",
        "set training.grad_clip (0.5 for PPO, 40 for IMPALA and DQN), or lower training.lr",
    )


def vanishing_gradients(rows: Rows) -> Symptom | None:
    """The gradient is as good as zero."""
    last = _values(rows[-SHORT_ROWS:], GRADIENT_NORM)
    if len(last) < SHORT_ROWS or max(last) >= VANISHING_NORM:
        return None
    return Symptom(
        "vanishing_gradients",
        f"the gradient's norm is {last[-1]:.1g}: nothing is learned",
        "look at the rewards (env.clip_rewards, env.reward.scale) and at a rollout",
    )


def diverging_value_loss(rows: Rows) -> Symptom | None:
    """The loss of the value function has left its range."""
    for key in VALUE_LOSSES:
        losses = _values(rows, key)
        before, last = losses[:-SHORT_ROWS], losses[-SHORT_ROWS:]
        if len(before) >= SHORT_ROWS and min(last) > DIVERGING_FACTOR * median(before) > 0:
            return Symptom(
                "value_loss_divergence",
                f"{key} rose from {median(before):.2g} to {last[-1]:.2g}",
                "lower training.lr, clip rewards (env.clip_rewards), or set training.grad_clip",
            )
    return None


def dead_policy(rows: Rows) -> Symptom | None:
    """One action is all that is done (needs the callback ActionHistogram)."""
    last = _values(rows[-SHORT_ROWS:], TOP_ACTION_SHARE)
    if len(last) < SHORT_ROWS or min(last) <= DEAD_POLICY_SHARE:
        return None
    return Symptom(
        "dead_policy",
        f"{100 * last[-1]:.1f} % of all actions are the same one",
        "raise training.entropy_coeff (or epsilon), or lower training.lr",
    )


def useless_value_function(rows: Rows) -> Symptom | None:
    """The value function predicts returns worse than their mean does."""
    last = _values(rows[-SHORT_ROWS:], EXPLAINED_VARIANCE)
    if len(last) < SHORT_ROWS or max(last) >= 0:
        return None
    return Symptom(
        "negative_explained_variance",
        f"the explained variance of the value function is {last[-1]:.2f} for {SHORT_ROWS} rows",
        "raise training.vf_loss_coeff or training.vf_clip_param, or give it a network of its own "
        "(network.vf_share_layers: false)",
    )


def skipped_updates(rows: Rows) -> Symptom | None:
    """Updates were left out, because their gradient was no number."""
    found = _values(rows[-1:], SKIPPED_UPDATES)
    if not found or found[-1] <= 0:
        return None
    return Symptom(
        "nan_gradients",
        f"{found[-1]:.0f} updates were left out: their gradient was no number",
        "lower training.lr, set training.grad_clip, or network.precision: fp32",
    )


def unchanged_score(rows: Rows) -> Symptom | None:
    """The score stands still."""
    newest = rows[-1][ENV_STEPS] if rows else 0
    last = [row for row in rows if row[ENV_STEPS] >= newest - UNCHANGED_ENV_STEPS]
    scores = _values(last, SCORE)
    is_long = bool(rows) and rows[0][ENV_STEPS] <= newest - UNCHANGED_ENV_STEPS
    if not is_long or len(scores) < SHORT_ROWS:
        return None
    spread, mean = max(scores) - min(scores), sum(scores) / len(scores)
    has_solved_it = spread == 0 and scores[-1] > _values(rows, SCORE)[0]
    if spread > UNCHANGED_SHARE * abs(mean) or has_solved_it:
        return None
    return Symptom(
        "unchanged_score",
        f"the score has been {scores[-1]:.2f} for {UNCHANGED_ENV_STEPS:,} env steps",
        "look at a rollout; raise training.entropy_coeff (or epsilon), or try other values of training.lr",
    )


RULES: tuple[Rule, ...] = (
    no_whole_game,
    collapsed_entropy,
    exploding_gradients,
    vanishing_gradients,
    diverging_value_loss,
    dead_policy,
    useless_value_function,
    skipped_updates,
    unchanged_score,
)


def _values(rows: Rows, key: str) -> list[float]:
    """The finite values of a key, the oldest first."""
    found = (row.get(key) for row in rows)
    return [float(value) for value in found if isinstance(value, (int, float)) and math.isfinite(value)]
