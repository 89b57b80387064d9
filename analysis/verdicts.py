"""What may be said about the order of configurations, in plain sentences that follow from the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t

from analysis.comparison import ConfigurationResult
from analysis.statistics import (
    CONFIDENCE,
    MIN_BOOTSTRAP_SEEDS,
    Interval,
    improvement,
    mean_difference,
)
from rlsweep.store.manifest import Objective

MAX_SEEDS_TOLD = 50


@dataclass(frozen=True)
class Pair:
    """Two configurations side by side, by the last values of their seeds.

    Attributes:
        first, second: config ids, in the order in which they rank.
        seeds: of each that have a value.
        gain: how much better the mean of the first is, in the objective's own direction.
        probability: that a run of the first is better than a run of the second.
        variance: of the last values, of both together.
        choices: among how many the first was chosen by the values that it is judged by.
        reason: why the first ranks before the second although its mean is no better.
    """

    first: str
    second: str
    seeds: tuple[int, int]
    gain: Interval
    probability: Interval
    variance: float
    choices: int = 1
    reason: str = ""

    @property
    def is_told_apart(self) -> bool:
        """Whether one is better by more than seeds of one configuration differ."""
        return self.gain.low > 0 or self.gain.high < 0


def pair(
    first: ConfigurationResult, second: ConfigurationResult, objective: Objective, *, choices: int = 1
) -> Pair:
    """Compare two configurations.

    Args:
        first: the one that ranks before.
        second: the other.
        objective: that they are judged by.
        choices: among how many the first was chosen by these values; the interval of the gain is widened for
            it as Bonferroni's inequality says: the best of many equal ones looks better than it is.
    """
    sign = 1.0 if objective.maximize else -1.0
    better, worse = (sign * one.scores for one in (first, second))
    if better.shape[1] != worse.shape[1]:  # some game lacks a value: all trials alike
        better, worse = better.reshape(-1, 1), worse.reshape(-1, 1)
    return Pair(
        first.config_id,
        second.config_id,
        (len(better), len(worse)),
        mean_difference(better.mean(axis=1), worse.mean(axis=1), confidence=1 - (1 - CONFIDENCE) / choices),
        improvement(better, worse),
        float(sum(values.mean(axis=1).var(ddof=1) for values in (better, worse) if len(values) > 1)),
        choices,
        _why_first(first, second, objective),
    )


def sentence(found: Pair) -> str:
    """Which one is better, and how sure that is."""
    if min(found.seeds) == 0:
        return f"Nothing can be said of `{found.first}` and `{found.second}`: one of them has no value."
    is_reversed = found.gain.value < 0
    ahead, behind = (found.second, found.first) if is_reversed else (found.first, found.second)
    ahead, behind, distance = f"`{ahead}`", f"`{behind}`", _number(abs(found.gain.value))
    order = f" {behind} ranks before it all the same: {found.reason}." if is_reversed else ""
    seeds = "one seed each" if found.seeds == (1, 1) else f"{found.seeds[0]} and {found.seeds[1]} seeds"
    if min(found.seeds) == 1:
        doubt = f"with {seeds} nobody can tell luck from merit."
        return f"{ahead} ends {distance} ahead of {behind}, but {doubt}{order}"
    span = f"95 % interval {_number(found.gain.low)} to {_number(found.gain.high)}, {seeds}"
    if found.choices > 1:
        span += f", widened for the choice among {found.choices}"
    if found.is_told_apart:
        return (
            f"{ahead} is better than {behind} by {distance} ({span}): more than seeds of one configuration "
            f"differ.{order} {_chance(found)}"
        )
    return (
        f"{ahead} and {behind} differ by {distance}, which is within seed noise ({span}).{order} "
        f"{_chance(found)}{_advice(found)}"
    )


def verdicts(ranked: Sequence[ConfigurationResult], default: str, objective: Objective) -> list[str]:
    """The winner against the runner-up, and against the default configuration where that is another one.

    Args:
        ranked: the best first.
        default: config id of the spec's own values; empty where it did not run.
        objective: that they are ranked by.
    """
    with_value = [one for one in ranked if one.valid_seeds]
    if len(with_value) < 2:
        return []
    winner, runner_up = with_value[:2]
    choices = 1 if winner.is_confirmed else len(with_value) - 1
    found = [pair(winner, runner_up, objective)]
    found += [
        pair(winner, one, objective, choices=choices) for one in with_value[2:] if one.config_id == default
    ]
    return [sentence(one) for one in found]


def _why_first(first: ConfigurationResult, second: ConfigurationResult, objective: Objective) -> str:
    """What puts the first before the second, in the order in which `compare` looks at it."""
    if first.is_confirmed and not second.is_confirmed:
        return "it was confirmed by seeds that the search had not seen"
    if second.is_short and not first.is_short:
        return "a trial of the other ended early, so its values stand at fewer env steps"
    if first.on_front and not second.on_front:
        return "the other is not on the Pareto front"
    if first.valid_seeds > second.valid_seeds:
        return "more of its seeds have a value"
    return f"the order is by the {objective.over_seeds} over seeds"


def _chance(found: Pair) -> str:
    """The probability of improvement; of few seeds, what was seen of it."""
    if min(found.seeds) < MIN_BOOTSTRAP_SEEDS:
        return f"`{found.first}` was better in {found.probability.value:.0%} of all pairs of seeds."
    chance = found.probability
    return (
        f"A run of `{found.first}` is better than a run of `{found.second}` with probability "
        f"{chance.value:.2f} ({chance.low:.2f} to {chance.high:.2f})."
    )


def _advice(found: Pair) -> str:
    """How many seeds of each would tell a difference of this size, if it is a real one."""
    if found.gain.value <= 0:
        return ""
    for seeds in range(min(found.seeds) + 1, MAX_SEEDS_TOLD + 1):
        standard_error = math.sqrt(found.variance / seeds)
        if t.ppf(0.5 + CONFIDENCE / 2, 2 * seeds - 2) * standard_error < found.gain.value:
            return f" If it is real, about {seeds} seeds each would show it."
    return f" Even {MAX_SEEDS_TOLD} seeds each would hardly tell them apart."


def _number(value: float) -> str:
    return f"{value:.3g}"
