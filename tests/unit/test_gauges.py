"""The gauges of a sweep: which figures they show, and that nothing of them ends a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis.status import read_status
from callbacks.driver.gauges import SweepFigures, SweepGauges
from rlsweep.plan import Machine, make
from rlsweep.run.stopping import Halt
from rlsweep.run.sweep_figures import FiguresOfSweep
from rlsweep.spec import Sweep
from rlsweep.store.layout import Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord


def row(env_steps: int, score: float) -> dict[str, Any]:
    return {
        "env_steps": env_steps,
        "score": score,
        "score_valid": True,
        "games": 3,
        "steps_per_second": 50.0,
        "timestamp": 2.0**40,  # never silent
    }


def test_figures_are_those_of_the_status_and_of_the_newest_rows(tmp_path: Path, cartpole: Sweep) -> None:
    layout = Storage(tmp_path).run("r")
    states = {"a": "finished", "b": "running", "c": "failed", "d": "pending"}
    records = [TrialRecord(one, one, {}, 0, "", status=status) for one, status in states.items()]
    objective = Objective("score", "maximize", most_env_steps=1000)
    manifest = Manifest("r", {}, "", "", "", [objective], "", "", {}, records)
    manifest.write(layout)
    for trial_id, text in {
        "a": '{"env_steps": 1000, "score": 5.0, "score_valid": true}',
        "b": "",
        "c": "",
    }.items():
        layout.trial(trial_id).mkdir()
        layout.result_json(trial_id).write_text(text + "\n")
    halt = Halt(make(cartpole, Machine.of(cpus=2, gpus=0)), gpu_seconds=1800)
    figures = FiguresOfSweep(manifest, layout, halt)

    before, status = figures({}), read_status(layout)
    assert before.trials == status.counts == {"finished": 1, "running": 1, "failed": 1, "pending": 1}
    assert (before.best_score, before.env_steps, before.env_steps_per_second) == (5.0, 1000, 0)
    assert before.gpu_hours == 0.5
    assert math.isnan(before.remaining_seconds)

    after = figures({"b": row(400, 7.0), "c": row(300, 99.0)})
    assert (after.best_score, after.env_steps, after.env_steps_per_second) == (7.0, 1700, 50)
    assert after.remaining_seconds == (600 + 1000) / 50
    for record in records:
        record.status = "finished"
    assert figures({}).remaining_seconds == 0


def test_what_goes_wrong_is_told_once_and_ends_no_sweep(caplog: pytest.LogCaptureFixture) -> None:
    asked = []

    def broken(results: Mapping[str, Mapping[str, Any]]) -> SweepFigures:
        asked.append(dict(results))
        raise OSError("no room")

    gauges = SweepGauges("r", broken)
    gauges.on_step_begin(0, [])
    gauges.on_step_begin(1, [])
    gauges.on_trial_result(1, [], "a", {"score": 1.0})
    gauges.on_experiment_end([])
    assert asked == [{}, {"a": {"score": 1.0}}], "not at every step"
    assert [record.getMessage() for record in caplog.records] == [
        "Ray's metrics are not told, the sweep goes on without them: OSError: no room"
    ]
