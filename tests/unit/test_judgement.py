"""Values of objectives, one number over seeds, Pareto fronts: by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.judgement import over_seeds, pareto_front, row_value, trial_values
from rlsweep.run.outcomes import SeedResult, judge
from rlsweep.store.manifest import Objective

SCORE = Objective("score", "maximize")
FAST = Objective("env_steps_to/200", "minimize", threshold=200.0, most_env_steps=6000)


def row(score: float, *, valid: bool = True, **more: float) -> dict[str, float | bool]:
    return {"score": score, "score_valid": valid, "env_steps": 1000, "seconds": 10.0, **more}


def test_a_score_counts_once_enough_games_have_ended() -> None:
    assert row_value(row(5.0), SCORE) == 5.0
    assert math.isnan(row_value(row(5.0, valid=False), SCORE))
    assert math.isnan(row_value(row(math.nan), SCORE))
    assert row_value(row(5.0, valid=False, seconds=3.0), Objective("seconds", "minimize")) == 3.0


def test_a_score_never_reached_counts_as_two_whole_trials() -> None:
    assert row_value(row(210.0, **{"env_steps_to/200": 700.0}), FAST) == 700.0
    assert row_value(row(90.0, **{"env_steps_to/200": math.nan}), FAST) == 12_000.0, "stopped after 1000"
    seconds = Objective("seconds_to/200", "minimize", threshold=200.0, most_env_steps=6000)
    assert row_value(row(90.0), seconds) == 120.0, "100 env steps a second"


def test_what_crashed_or_diverged_has_no_value() -> None:
    assert trial_values("finished", row(5.0), [SCORE]) == (5.0,)
    for status in ("failed", "diverged"):
        assert math.isnan(trial_values(status, row(5.0), [SCORE])[0])
    assert math.isnan(trial_values("stopped", {}, [SCORE])[0])


@pytest.mark.parametrize(
    ("how", "goal", "value"),
    [
        ("mean", "maximize", 22.0),
        ("median", "maximize", 3.0),
        ("worst", "maximize", 1.0),
        ("worst", "minimize", 100.0),
        ("iqm", "maximize", 3.0),  # of 1, 2, 3, 4, 100 the middle three
    ],
)
def test_one_number_over_seeds(how: str, goal: str, value: float) -> None:
    objective = Objective("score", goal, how)  # type: ignore[arg-type]
    assert over_seeds([4.0, 100.0, 1.0, math.nan, 3.0, 2.0], objective) == value
    assert math.isnan(over_seeds([math.nan], objective))


def test_the_pareto_front_has_what_nothing_else_beats() -> None:
    points = np.array([[3.0, 10.0], [2.0, 5.0], [2.0, 7.0], [1.0, 1.0], [math.nan, 0.0], [3.0, 10.0]])
    front = pareto_front(points, [True, False])  # a high score in little time
    assert front.tolist() == [True, True, False, True, False, True]


def test_a_configuration_is_judged_when_its_seeds_are_in() -> None:
    results = [SeedResult("finished", row(4.0)), SeedResult("finished", row(8.0))]
    assert judge(results, [SCORE]) == ("complete", [6.0], 1000)
    stopped = [*results, SeedResult("stopped", {**row(3.0), "env_steps": 500})]
    assert judge(stopped, [SCORE]) == ("pruned", [5.0], 500)
    assert judge([*results, SeedResult("diverged", row(9.0))], [SCORE])[0] == "failed"
    assert judge([*results, SeedResult("failed", {})], [SCORE]) == ("complete", [6.0], 1000)
    assert judge([SeedResult("failed", {})], [SCORE])[0] == "failed"
    assert judge([*results, SeedResult("stopped", {})], [SCORE]) == ("pruned", [6.0], 1000)
    assert judge([SeedResult("finished", row(math.nan))], [SCORE])[0] == "failed"
