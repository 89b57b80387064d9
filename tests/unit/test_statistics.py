"""Statistics over few seeds: by hand, and against scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics import (
    curve_band,
    improvement,
    interquartile_mean,
    interval,
    mean,
    mean_difference,
    mean_interval,
    median,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)


def column(*values: float) -> np.ndarray:
    """One game: (seeds, 1)."""
    return np.array(values, dtype=float)[:, None]


def test_aggregates_by_hand() -> None:
    scores = column(0, 1, 2, 3, 4, 5, 6, 100)
    assert mean(scores) == pytest.approx(15.125)
    assert median(scores) == pytest.approx(3.5)
    assert interquartile_mean(scores) == pytest.approx((2 + 3 + 4 + 5) / 4), "2 of 8 cut off at each end"
    two_games = np.array([[1.0, 10.0], [3.0, 30.0]])
    assert median(two_games) == pytest.approx((2 + 20) / 2), "of the games' means"
    assert interquartile_mean(two_games) == pytest.approx((3 + 10) / 2), "of all four runs"


@pytest.mark.parametrize(("ours", "theirs"), [(mean, np.mean), (median, np.median)])
def test_intervals_agree_with_scipys_bootstrap(ours: object, theirs: object) -> None:
    scores = np.random.default_rng(1).gamma(2.0, 20.0, size=12)
    found = interval(scores[:, None], ours, resamples=20_000)  # type: ignore[arg-type]
    expected = stats.bootstrap(
        (scores,), theirs, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert found.low == pytest.approx(expected.low, rel=0.02)
    assert found.high == pytest.approx(expected.high, rel=0.02)
    assert found.low < found.value < found.high
    assert found.value in found


def test_each_game_is_drawn_on_its_own() -> None:
    scores = np.array([[0.0, 1000.0], [10.0, 2000.0]])
    drawn = stratified_bootstrap(scores, np.asarray, resamples=500)
    assert drawn.shape == (500, 2, 2)
    assert set(np.unique(drawn[..., 0])) == {0.0, 10.0}
    assert set(np.unique(drawn[..., 1])) == {1000.0, 2000.0}
    together = (drawn[:, :, 0] == 10) == (drawn[:, :, 1] == 2000)
    assert 0.4 < together.mean() < 0.6, "not seed by seed"
    assert np.array_equal(drawn, stratified_bootstrap(scores, np.asarray, resamples=500)), "the same again"


def test_one_seed_has_no_interval_and_none_has_nothing() -> None:
    alone = interval(column(7), mean)
    assert alone.value == 7
    assert np.isnan([alone.low, alone.high]).all()
    assert np.isnan(interval(np.empty((0, 1)), mean).value)
    assert np.isnan(improvement(np.empty((0, 1)), column(1, 2)).value)


def test_the_probability_of_improvement_is_mann_whitneys() -> None:
    assert probability_of_improvement(column(1, 2, 3), column(0, 2)) == pytest.approx((1 + 1.5 + 2) / 6)
    rng = np.random.default_rng(3)
    first, second = rng.normal(1, 1, 9), rng.normal(0, 1, 7)
    u = stats.mannwhitneyu(first, second).statistic
    assert probability_of_improvement(first[:, None], second[:, None]) == pytest.approx(u / 63)
    found = improvement(first[:, None], second[:, None])
    assert 0 <= found.low < found.value < found.high <= 1
    games = np.stack([first[:7], second], axis=1)
    assert probability_of_improvement(games, games) == pytest.approx(0.5), "the mean over games"


def test_a_difference_of_means_is_welchs() -> None:
    first, second = np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 2.0, 4.0])
    found = mean_difference(first, second)
    assert found.value == 0
    # s1^2/3 = 1/3, s2^2/4 = 2/3, so the standard error is 1 and Welch's degrees of freedom 1 / (1/18 + 4/27)
    half = stats.t.ppf(0.975, 1 / (1 / 18 + 4 / 27))
    assert (found.low, found.high) == pytest.approx((-half, half))
    same = mean_difference(np.array([5.0, 5.0]), np.array([3.0, 3.0]))
    assert (same.value, same.low, same.high) == (2, 2, 2)
    assert np.isnan(mean_difference(np.array([1.0]), second).low)


def test_few_seeds_of_the_same_are_seldom_called_different() -> None:
    """Of 400 pairs of four seeds each from one distribution, about one in twenty."""
    rng = np.random.default_rng(6)
    pairs = rng.normal(10, 5, (400, 2, 4))
    apart = [0.0 not in mean_difference(first, second) for first, second in pairs]
    assert np.mean(apart) < 0.07


def test_intervals_hold_what_they_promise() -> None:
    """Of 300 made-up experiments with 20 seeds the true mean lies in about 95 % of the intervals."""
    rng = np.random.default_rng(5)
    inside = [10.0 in interval(rng.normal(10, 3, (20, 1)), mean, resamples=500) for _ in range(300)]
    assert 0.88 < np.mean(inside) < 0.98


def test_a_profile_falls_from_one_to_none() -> None:
    scores = np.array([[0.1, 0.5], [0.9, 2.0]])
    profile = performance_profile(scores, np.array([0.0, 0.1, 0.6, 1.0, 2.0]))
    assert profile.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_the_interval_of_a_mean_holds_what_it_says_for_few_seeds_too() -> None:
    rng = np.random.default_rng(1)
    for seeds in (2, 3, 5):
        inside = [10.0 in mean_interval(rng.normal(10, 3, (seeds, 1))) for _ in range(1000)]
        assert np.mean(inside) == pytest.approx(0.95, abs=0.025)
    # mean 2, standard error 1 / sqrt 3, t(2) at 97.5 % = 4.303
    found = mean_interval(column(1, 2, 3))
    assert (found.value, found.low) == (2.0, pytest.approx(2 - 4.303 / math.sqrt(3), abs=1e-3))
    assert np.isnan(mean_interval(column(7)).low)
    assert mean_interval(column(7, 7)).low == 7


def test_a_band_is_students_interval_at_each_point() -> None:
    seeds = np.array([[1.0, 5.0, np.nan], [2.0, 5.0, 1.0], [3.0, 5.0, 1.0]])
    low, high = curve_band(seeds)
    by_hand = mean_interval(column(1, 2, 3))
    assert (low[0], high[0]) == (pytest.approx(by_hand.low), pytest.approx(by_hand.high))
    assert (low[1], high[1]) == (5.0, 5.0)
    assert np.isnan(low[2])
    assert np.isnan(curve_band(seeds[:2])).all(), "two curves say more than their band"
