"""Plain sentences about who is better, from made-up seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from analysis.comparison import ConfigurationResult, summarize
from analysis.trial_results import TrialResult
from analysis.verdicts import pair, sentence, verdicts
from rlsweep.store.manifest import Objective

SCORE = Objective("score", "maximize")


def configuration(
    config_id: str, values: Sequence[float], *, is_short: bool = False, phase: str = "search"
) -> ConfigurationResult:
    trials = [
        TrialResult(
            f"{config_id}-{seed}",
            config_id,
            seed,
            "stopped" if is_short else "finished",
            phase,
            (value,),
            value,
            1000,
            is_short=is_short,
        )
        for seed, value in enumerate(values)
    ]
    return summarize(config_id, trials, [SCORE])


def said(first: Sequence[float], second: Sequence[float], objective: Objective = SCORE) -> str:
    return sentence(pair(configuration("a", first), configuration("b", second), objective))


def test_a_clear_difference_is_called_one() -> None:
    text = said([30, 31, 32, 33], [10, 11, 12, 13])
    assert text.startswith("`a` is better than `b` by 20 (95 % interval 17.8 to 22.2, 4 and 4 seeds)")
    assert "`a` was better in 100% of all pairs of seeds." in text
    many = said([30, 31, 32, 33, 34], [10, 11, 12, 13, 40])
    assert "with probability 0.80 (0.40 to 1.00)" in many


def test_values_that_are_better_though_they_rank_behind() -> None:
    whole, stopped = configuration("a", [10.0, 10.1, 10.2]), configuration("b", [100, 100.1], is_short=True)
    text = sentence(pair(whole, stopped, SCORE))
    assert text.startswith("`b` is better than `a` by 90 (95 % interval")
    assert "`a` ranks before it all the same: a trial of the other ended early" in text
    assert "`a` was better in 0% of all pairs" in text
    single = sentence(pair(configuration("a", [1.0]), configuration("b", [9.0], is_short=True), SCORE))
    assert single.startswith("`b` ends 8 ahead of `a`, but with one seed each")
    median = Objective("score", "maximize", "median")
    text = sentence(pair(configuration("a", [1, 5, 6]), configuration("b", [4, 4, 100]), median))
    assert "the order is by the median over seeds" in text
    assert "within seed noise" in text


def test_the_best_of_many_is_held_to_more_than_one_that_was_named_beforehand() -> None:
    low, high = [10.0, 11.0, 12.0], [13.0, 14.0, 15.0]
    assert "is better" in said(high, low)
    chosen = sentence(pair(configuration("a", high), configuration("b", low), SCORE, choices=20))
    assert "within seed noise" in chosen
    assert "widened for the choice among 20" in chosen
    ranked = [configuration(name, high) for name in "abc"] + [configuration("d", low)]
    assert "widened for the choice among 3" in verdicts(ranked, "d", SCORE)[1]
    ranked[0] = configuration("a", high, phase="confirm")
    assert "widened" not in verdicts(ranked, "d", SCORE)[1], "new seeds have not chosen it"


def test_seed_noise_is_called_noise_and_how_many_seeds_would_tell() -> None:
    text = said([30, 10, 50], [25, 5, 45])
    assert text.startswith("`a` and `b` differ by 5, which is within seed noise")
    assert "Even 50 seeds each would hardly tell" in text
    # variances 7 and 7/3, gain 8/3: t(12) sqrt(28/3 / 7) = 2.52 is less, t(10) sqrt(28/3 / 6) = 2.78 not
    assert "about 7 seeds each would show it" in said([30, 31, 35], [28, 29, 31])


def test_one_seed_says_nothing() -> None:
    assert said([100.0], [1, 2, 3]).endswith("with 1 and 3 seeds nobody can tell luck from merit.")
    assert "one of them has no value" in said([math.nan], [1.0, 2.0])


def test_less_is_better_where_the_goal_says_so() -> None:
    text = said([1000, 1100, 1050], [5000, 5200, 5100], Objective("score", "minimize"))
    assert text.startswith("`a` is better than `b` by 4.05e+03")


def test_the_winner_is_held_against_the_runner_up_and_the_default() -> None:
    ranked = [
        configuration(name, [value, value + 1, value + 2])
        for name, value in zip("abcd", [9, 6, 3, 0], strict=True)
    ]
    texts = verdicts(ranked, "d", SCORE)
    assert ["`b`" in texts[0], "`d`" in texts[1]] == [True, True]
    assert len(verdicts(ranked, "b", SCORE)) == 1, "the runner-up is the default"
    assert verdicts(ranked[:1], "a", SCORE) == []


@pytest.mark.parametrize("values", [[5.0, 5.0], [5.0, 5.0, 5.0]])
def test_seeds_that_agree_to_the_digit(values: list[float]) -> None:
    assert said(values, [4.0, 4.0]).startswith("`a` is better than `b` by 1 (95 % interval 1 to 1")
    assert "within seed noise" in said(values, values)
