"""Rows -> points of MLflow: which keys, how many, and the same ones however the file is read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from callbacks.driver.points import MAX_POINTS_PER_KEY, Chosen, Position

LENGTH = 1_000_000


def row(env_steps: int, **more: Any) -> dict[str, Any]:
    return {"score": env_steps / 10, "env_steps": env_steps, "timestamp": 1000 + env_steps, **more}


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))


def steps(chosen: Chosen, history: Path, max_points: int = 1000) -> list[int]:
    """Env steps of the points of a whole history, read in parts."""
    found, position = [], Position()
    while True:
        points, following = chosen.read(history, position, max_points)
        if following == position:
            return found
        found += [point.step for point in points]
        position = Position.parse(str(following))


def test_only_finite_numbers_of_the_chosen_keys(tmp_path: Path) -> None:
    more = {"learner/loss": 0.5, "timers/learn": 2.0, "human_normalized": math.nan, "custom/a/b": True}
    write(tmp_path / "r", row(10, **more, **{"curriculum/phase_name": "easy"}))
    chosen = Chosen(
        ["score", "learner/*", "human_normalized", "custom/*", "curriculum/*", "env_steps"], LENGTH
    )
    points, _ = chosen.read(tmp_path / "r", Position(), 1000)
    assert [(p.key, p.value, p.step, p.timestamp) for p in points] == [
        ("score", 1.0, 10, 1_010_000),
        ("learner/loss", 0.5, 10, 1_010_000),
        ("custom/a/b", 1.0, 10, 1_010_000),
    ]


@pytest.mark.parametrize("num_rows", [100, 2000, 2001, 10_000])
def test_no_key_has_more_points_than_a_chart_shows(num_rows: int, tmp_path: Path) -> None:
    write(tmp_path / "r", *(row(LENGTH * i // num_rows) for i in range(num_rows)))
    found = steps(Chosen(["score"], LENGTH), tmp_path / "r")
    assert len(found) == min(num_rows, MAX_POINTS_PER_KEY)
    assert found[0] == 0
    assert found[-1] >= LENGTH * (1 - 1 / num_rows - 1 / MAX_POINTS_PER_KEY), "to the end"
    assert found == steps(Chosen(["score"], LENGTH), tmp_path / "r", max_points=7), "however it is cut up"


def test_a_file_that_grows_is_read_on_from_whole_lines(tmp_path: Path) -> None:
    history, chosen = tmp_path / "r", Chosen(["score"], LENGTH)
    assert chosen.read(history, Position(), 10) == ([], Position()), "not there yet"
    write(history, row(1000), row(2000))
    with history.open("a") as stream:
        stream.write(json.dumps(row(3000))[:20])
    points, position = chosen.read(history, Position(), 10)
    assert [point.step for point in points] == [1000, 2000]
    assert chosen.read(history, position, 10) == ([], position), "half a line is none"
    with history.open("a") as stream:
        stream.write(json.dumps(row(3000))[20:] + "\nnonsense\n[1]\n" + json.dumps(row(4000)) + "\n")
    points, _ = chosen.read(history, position, 10)
    assert [point.step for point in points] == [3000, 4000]


def test_rows_that_a_retry_made_again_give_no_second_points(tmp_path: Path) -> None:
    write(tmp_path / "r", row(10_000), row(20_000), row(10_001), row(20_001), row(30_001))
    assert steps(Chosen(["score"], LENGTH), tmp_path / "r") == [10_000, 20_000, 30_001]
    assert steps(Chosen(["score"], LENGTH), tmp_path / "r", max_points=1) == [10_000, 20_000, 30_001]


def test_a_row_is_never_cut_in_two(tmp_path: Path) -> None:
    more = {f"learner/{i}": i for i in range(5)}
    write(tmp_path / "r", row(10_000, **more), row(20_000, **more))
    chosen = Chosen(["*"], LENGTH)
    points, position = chosen.read(tmp_path / "r", Position(), 8)
    assert {point.step for point in points} == {10_000}
    assert len(points) == 6
    points, _ = chosen.read(tmp_path / "r", position, 3)
    assert len(points) == 6, "one row at least"


def test_a_longer_trial_goes_on_where_the_shorter_one_ended(tmp_path: Path) -> None:
    write(tmp_path / "r", *(row(1000 * i, training_iteration=i) for i in range(1, 11)))
    _, position = Chosen(["score"], 10_000).read(tmp_path / "r", Position(), 1000)
    write(tmp_path / "r", *(row(1000 * i, training_iteration=i) for i in range(1, 16)))
    points, _ = Chosen(["score"], 20_000).read(tmp_path / "r", Position.parse(str(position)), 1000)
    assert [point.step for point in points] == [11_000, 12_000, 13_000, 14_000, 15_000]


def test_an_iteration_that_ends_a_little_later_the_second_time_has_one_point(tmp_path: Path) -> None:
    made = [(1, 2051), (2, 4101), (3, 6152), (3, 6170), (4, 8204)]
    write(tmp_path / "r", *(row(env_steps, training_iteration=i) for i, env_steps in made))
    assert steps(Chosen(["score"], 30_000), tmp_path / "r") == [2051, 4101, 6152, 8204]


def test_a_member_that_took_over_somebody_of_fewer_iterations_is_shown(tmp_path: Path) -> None:
    made = [(399, 998_000), (400, 1_000_000), (201, 1_005_000), (202, 1_010_000)]
    write(tmp_path / "r", *(row(env_steps, training_iteration=i) for i, env_steps in made))
    assert steps(Chosen(["score"], 2_000_000), tmp_path / "r") == [env_steps for _, env_steps in made]


def test_a_position_of_an_earlier_version_is_read_from_there_on() -> None:
    assert Position.parse("1200:57") == Position(1200)
