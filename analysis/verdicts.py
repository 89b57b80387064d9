"""What may be said about the order of configurations, in plain sentences that follow from the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from analysis.comparison import ConfigurationResult
from analysis.statistics import CONFIDENCE, Interval, improvement, mean_difference

MAX_SEEDS_TOLD = 50


@dataclass(frozen=True)
class Pair:
    """Two configurations side by side, by the last values of their seeds.

    Attributes:
        first, second: config ids.
        seeds: of each that have a value.
        gain: how much better the mean of the first is, in the objective's own direction.
        probability: that a run of the first is better than a run of the second.
        variance: of the last values, of both together.
    """

    first: str
    second: str
    seeds: tuple[int, int]
    gain: Interval
    probability: Interval
    variance: float

    @property
    def is_told_apart(self) -> bool:
        """Whether the first is better by more than seeds of one configuration differ."""
        return self.gain.low > 0


def pair(first: ConfigurationResult, second: ConfigurationResult, *, maximize: bool) -> Pair:
    """Compare two configurations.

    Args:
        first: the one that is thought better.
        second: the other.
        maximize: whether more is better.
    """
    sign = 1.0 if maximize else -1.0
    better, worse = (
        sign * np.array([trial.last for trial in one.trials if math.isfinite(trial.last)])
        for one in (first, second)
    )
    return Pair(
        first.config_id,
        second.config_id,
        (len(better), len(worse)),
        mean_difference(better, worse),
        improvement(better[:, None], worse[:, None]),
        float(sum(values.var(ddof=1) for values in (better, worse) if len(values) > 1)),
    )


def sentence(found: Pair) -> str:
    """Whether the first is better, and how sure that is."""
    first, second = f"`{found.first}`", f"`{found.second}`"
    seeds = "one seed each" if found.seeds == (1, 1) else f"{found.seeds[0]} and {found.seeds[1]} seeds"
    if min(found.seeds) == 0:
        return f"Nothing can be said of {first} and {second}: one of them has no value."
    if min(found.seeds) == 1:
        return (
            f"{first} ends {_number(found.gain.value)} ahead of {second}, but with {seeds} nobody can tell "
            "luck from merit."
        )
    span = f"95 % interval {_number(found.gain.low)} to {_number(found.gain.high)}, {seeds}"
    chance = f"A run of the first is better than a run of the second with probability {_share(found)}."
    if found.is_told_apart:
        return (
            f"{first} is better than {second} by {_number(found.gain.value)} ({span}): more than seeds of "
            f"one configuration differ. {chance}"
        )
    return (
        f"{first} and {second} differ by {_number(found.gain.value)}, which is within seed noise ({span}). "
        f"{chance}{_advice(found)}"
    )


def verdicts(ranked: Sequence[ConfigurationResult], default: str, *, maximize: bool) -> list[str]:
    """The winner against the runner-up, and against the default configuration where that is another one.

    Args:
        ranked: the best first.
        default: config id of the spec's own values; empty where it did not run.
        maximize: whether more is better.
    """
    with_value = [one for one in ranked if one.valid_seeds]
    if len(with_value) < 2:
        return []
    winner, runner_up = with_value[:2]
    others = [runner_up]
    others += [one for one in with_value[2:] if one.config_id == default]
    return [sentence(pair(winner, other, maximize=maximize)) for other in others]


def _advice(found: Pair) -> str:
    """How many seeds of each would tell a difference of this size, if it is a real one."""
    if found.gain.value <= 0:
        return ""
    for seeds in range(min(found.seeds) + 1, MAX_SEEDS_TOLD + 1):
        standard_error = math.sqrt(found.variance / seeds)
        if t.ppf(0.5 + CONFIDENCE / 2, 2 * seeds - 2) * standard_error < found.gain.value:
            return f" If it is real, about {seeds} seeds each would show it."
    return f" Even {MAX_SEEDS_TOLD} seeds each would hardly tell them apart."


def _share(found: Pair) -> str:
    interval = found.probability
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def _number(value: float) -> str:
    return f"{value:.3g}"
