"""How a run stands, from files written by hand."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from analysis.status import read_status, runs
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord


def write(tmp_path: Path, trials: dict[str, tuple[str, dict[str, Any] | None]], name: str = "r") -> RunLayout:
    layout = Storage(tmp_path).run(name)
    records = [TrialRecord(one, one, {}, 0, "", status=status) for one, (status, _) in trials.items()]
    objective = Objective("score", "maximize", most_env_steps=1000)
    spec = {"scheduler": {"type": "asha"}}
    Manifest(name, spec, "", "", "", [objective], "", "", {}, records).write(layout)
    for trial_id, (_, row) in trials.items():
        if row is not None:
            layout.trial(trial_id).mkdir()
            layout.result_json(trial_id).write_text("junk\n" + json.dumps(row) + '\n{"cut')
    return layout


def row(env_steps: int, score: float, *, seconds_ago: float = 0, valid: bool = True) -> dict[str, Any]:
    now = time.time() - seconds_ago
    return {
        "env_steps": env_steps,
        "score": score,
        "score_valid": valid,
        "games": 3,
        "steps_per_second": 50.0,
        "timestamp": now,
    }


def test_states_best_speed_and_time_left(tmp_path: Path) -> None:
    status = read_status(
        write(
            tmp_path,
            {
                "a": ("finished", row(1000, 5.0)),
                "b": ("running", row(400, 7.0)),
                "c": ("running", row(600, 99.0, valid=False)),
                "d": ("stopped", row(250, 1.0)),
                "e": ("pending", None),
            },
        )
    )
    assert status.counts == {"finished": 1, "running": 2, "stopped": 1, "pending": 1}
    assert status.best is not None
    assert (status.best.id, status.best.score) == ("b", 7.0)
    assert status.trials[3].words == "stopped early by asha at 250 env steps"
    assert status.steps_per_second == 100
    assert status.seconds_left == pytest.approx((600 + 400 + 1000) / 100)


def test_a_trial_that_says_nothing_for_long_is_silent(tmp_path: Path) -> None:
    status = read_status(write(tmp_path, {"a": ("running", row(400, math.nan, seconds_ago=3600))}))
    assert status.trials[0].is_silent
    assert status.steps_per_second == 0
    assert math.isnan(status.seconds_left)
    assert status.best is None


def test_runs_of_a_storage(tmp_path: Path) -> None:
    for name in ("old", "new"):
        write(tmp_path, {"a": ("pending", None)}, name)
        time.sleep(0.02)
    assert [layout.root.name for layout in runs(Storage(tmp_path))] == ["new", "old"]
