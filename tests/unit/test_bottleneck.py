"""Who waits for whom, on made-up rows."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from analysis.bottleneck import has_diagnostics, shares, verdict

UPDATE = {
    "forward_seconds": 0.02,
    "backward_seconds": 0.05,
    "optimizer_seconds": 0.01,
    "update_seconds": 0.08,
}


def rows(count: int = 10, **values: float) -> pd.DataFrame:
    table = pd.DataFrame([{f"custom/diagnostics/{key}": value for key, value in values.items()}] * count)
    return table.assign(env_steps=range(count))


@pytest.mark.parametrize(
    ("wait", "sample_wait", "learner", "env_runners", "sentence"),
    [
        (0.0, 0.3, 1.0, 0.25, "The learner is the bottleneck"),
        (0.24, 0.0, 0.25, 1.0, "The env runners are the bottleneck"),
        (0.0, 0.0, 1.0, 1.0, "Nobody waits"),
        (0.24, 0.3, 0.25, 0.25, "The way between them is the bottleneck"),
        (0.04, 0.1, 2 / 3, 0.5, "No clear bottleneck"),
    ],
)
def test_the_one_that_never_waits_is_the_bottleneck(
    wait: float, sample_wait: float, learner: float, env_runners: float, sentence: str
) -> None:
    table = rows(**UPDATE, learner_wait_seconds=wait, sample_seconds=0.1, sample_wait_seconds=sample_wait)
    found = shares(table)
    assert (found.learner, found.env_runners) == pytest.approx((learner, env_runners))
    text = verdict(found)
    assert text.startswith(sentence)
    assert f"{100 * found.learner:.0f} %" in text
    assert found.longest_part == "backward"


def test_busy_cpus_are_the_bottleneck_where_nobody_else_is() -> None:
    waiting = {"learner_wait_seconds": 0.08, "sample_seconds": 0.1, "sample_wait_seconds": 0.1}
    table = rows(**UPDATE, **waiting).assign(**{"custom/system/node_cpu_share": 0.97})
    assert verdict(shares(table)).startswith("The CPUs are the bottleneck")
    assert "the node's CPUs 97 %" in verdict(shares(table))


def test_the_start_of_a_trial_does_not_count() -> None:
    slow, fast = rows(5, **UPDATE, sample_seconds=9.0), rows(5, **UPDATE, sample_seconds=0.1)
    fast["custom/diagnostics/sample_wait_seconds"] = 0.1  # the others have none yet
    assert shares(pd.concat([slow, fast])).env_runners == pytest.approx(0.5)


def test_without_values_nothing_is_said() -> None:
    empty = rows(**dict.fromkeys(UPDATE, math.nan))
    assert verdict(shares(empty)) == "Too few rows to say where the bottleneck lies."
    assert has_diagnostics(empty)
    assert not has_diagnostics(pd.DataFrame({"score": [1.0]}))
