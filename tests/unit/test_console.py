from __future__ import annotations

import math
from typing import Any

import pytest
from rich.console import Console

from callbacks.driver.console import SweepConsole, plain_line, sparkline
from rlsweep.spec.quantities import duration
from rlsweep.store.endings import error_reason

ROW = {"score": 2.5, "games": 7, "env_steps": 5_000, "steps_per_second": 100.0, "score_valid": True}


class FakeTrial:
    """What Tune hands to a callback, as far as the console reads it."""

    def __init__(self, trial_id: str) -> None:
        self._trial_id = trial_id
        self.last_result: dict[str, Any] = {"reached_stop": True}

    def __str__(self) -> str:
        return self._trial_id


def test_a_sparkline_runs_from_the_lowest_to_the_highest_value() -> None:
    assert sparkline([]) == ""
    assert sparkline([3.0]) == "▁"
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    long = sparkline(list(range(1000)))
    assert (len(long), long[0], long[-1]) == (16, "▁", "█")


@pytest.mark.parametrize(
    ("seconds", "text"), [(9, "0m09s"), (90, "1m30s"), (5400, "1h30m"), (math.nan, "?"), (math.inf, "?")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_plain_line_says_where_a_trial_stands() -> None:
    line = plain_line("a", ROW, 10_000, 50.0)
    assert line == "a: score 2.50 (7 games), 5,000 env steps (50%), 100 steps/s, 0m50s left"


def test_the_table_shows_every_trial() -> None:
    console = SweepConsole("sweep", 2, 10_000)
    console.setup()
    console.on_trial_start(0, [], FakeTrial("a"))
    console.on_trial_result(0, [], FakeTrial("a"), ROW)
    screen = Console(width=140, record=True, file=None, quiet=True)
    with screen.capture() as capture:
        screen.quiet = False
        screen.print(console._table())
    text = capture.get()
    assert "2.50" in text
    assert "5,000" in text
    assert "0m50s" in text
    assert "1 more trials to start" in text


def test_the_reason_of_a_failure_is_the_last_exception_with_a_message() -> None:
    trace = (
        "Traceback …\n  File x\nKeyError: 'a'\n\nDuring …\nray.x.ValueError: the env broke\nRuntimeError\n"
    )
    assert error_reason(trace) == "ValueError: the env broke"
    assert error_reason("no trace was kept\n") == "no trace was kept"
