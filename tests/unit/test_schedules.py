from __future__ import annotations

import math

import pytest

from rlsweep.spec.schedules import COSINE_SEGMENTS, schedule_points, scheduled_value


def test_a_line_runs_over_the_whole_trial() -> None:
    points = schedule_points({"linear": [2.5e-4, 0]}, 10_000_000)
    assert points == [[0, 2.5e-4], [10_000_000, 0.0]]
    assert scheduled_value(points, 5_000_000) == pytest.approx(1.25e-4)
    assert scheduled_value(points, 20_000_000) == 0.0, "constant after its end"


def test_a_cosine_is_its_pieces_closely() -> None:
    points = schedule_points({"cosine": [5e-3, 1e-3]}, 100_000)
    assert len(points) == COSINE_SEGMENTS + 1
    exact = [1e-3 + 4e-3 * (1 + math.cos(math.pi * step / 100_000)) / 2 for step in range(0, 100_001, 500)]
    found = [scheduled_value(points, step) for step in range(0, 100_001, 500)]
    assert max(abs(a - b) for a, b in zip(found, exact, strict=True)) < 1.6e-4 * 4e-3
    assert (found[0], found[-1]) == (5e-3, 1e-3)


def test_a_cosine_of_a_tiny_trial_still_rises_in_env_steps() -> None:
    points = schedule_points({"cosine": [1.0, 0.0]}, 5)
    steps = [step for step, _ in points]
    assert steps == sorted(set(steps))
    assert points[-1] == [5, 0.0]


def test_pieces_take_quantities_and_frames() -> None:
    points = schedule_points({"piecewise": [[0, 1.0], ["1M", 0.1], ["8M frames", 0.05]]}, 10, 4)
    assert points == [[0, 1.0], [1_000_000, 0.1], [2_000_000, 0.05]]
    assert scheduled_value(points, 500_000) == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"linear": [1]}, "takes two numbers"),
        ({"linear": [1, "fast"]}, "takes two numbers"),
        ({"linear": [1, 0], "cosine": [1, 0]}, "is one of"),
        ({"piecewise": [[0, 1.0]]}, "at least two points"),
        ({"piecewise": [[1, 1.0], [2, 0.0]]}, "the first point is at 0"),
        ({"piecewise": [[0, 1.0], [5, 0.5], [5, 0.0]]}, "have to rise"),
        ({"piecewise": [[0, 1.0], ["soon", 0.5]]}, "write a whole number"),
        ({"piecewise": [[0, 1.0], 7]}, "a point is"),
    ],
)
def test_what_is_no_schedule_says_why(value: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        schedule_points(value, 1000)
