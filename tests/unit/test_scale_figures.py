"""The parts of benchmarks/scale that drive nothing: its curve, its arithmetic, its nodes, wrong arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.programs import Outcome
from benchmarks.scale.cluster import planned_machine
from benchmarks.scale.curve import BEST_LR, BEST_SCORE, NOISE, score
from benchmarks.scale.figures import Driven, full_at, ms_per_trial
from benchmarks.scale.samples import Sample

ROOT = Path(__file__).parents[2]

SAMPLES = (
    Sample(0, 0, 10.0, 0.0, 600.0),
    Sample(100, 400, 12.0, 9.0, 610.0),
    Sample(200, 700, 15.0, 20.0, 620.0),
    Sample(300, 900, 21.0, 40.0, 640.0),
)


def test_a_curve_is_the_same_each_time_and_best_at_the_best_rate() -> None:
    assert score("a", 1e-3, 5) == score("a", 1e-3, 5)
    assert len({score(trial, 1e-3, row) for trial in "ab" for row in (1, 2)}) == 4
    ends = [score("a", lr, 60) for lr in (BEST_LR, 10 * BEST_LR, 100 * BEST_LR)]
    assert ends[0] == pytest.approx(BEST_SCORE, abs=5 * NOISE)
    assert ends == sorted(ends, reverse=True)
    assert score("a", BEST_LR, 1) < score("a", BEST_LR, 10) < BEST_SCORE


def test_a_trial_costs_what_was_used_while_some_ended() -> None:
    assert ms_per_trial(SAMPLES, 0, 1 / 3) == pytest.approx(20.0)
    assert ms_per_trial(SAMPLES, 2 / 3, 1) == pytest.approx(60.0)
    assert ms_per_trial(SAMPLES, 0.3, 1) == pytest.approx(45.0)
    with pytest.raises(ValueError, match="no trial ended"):
        ms_per_trial(SAMPLES, 0.9, 1)


def test_a_core_is_full_when_rows_come_as_fast_as_they_are_taken() -> None:
    assert full_at(ms_per_row=10.0, rows_per_minute=6) == pytest.approx(1000)  # 100 rows a second


def test_what_was_driven() -> None:
    names = [name for name in Driven.__dataclass_fields__ if name not in ("cpu_seconds", "samples")]
    samples = [vars(sample) for sample in SAMPLES]
    details = dict.fromkeys(names, 1) | {"rows": 900, "samples": samples, "is_tracked": True}
    driven = Driven.of(Outcome(18.0, details))
    assert driven.samples == SAMPLES
    assert driven.ms_per_row == 20.0


def test_nodes_that_are_not_there() -> None:
    machine = planned_machine(100, 8)
    assert (len(machine.nodes), machine.gpus, machine.cpus) == (100, 800, 1600)
    assert len({node.name for node in machine.nodes}) == 100


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--trials", "many"], "whole numbers with commas"),
        (["--concurrent", "9", "--raylets", "1"], "on 1 nodes"),
    ],
)
def test_a_wrong_argument_is_told_without_a_traceback(arguments: list[str], told: str) -> None:
    command = [sys.executable, "-m", "benchmarks.scale", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_plan_is_measured() -> None:
    command = [sys.executable, "-m", "benchmarks.scale.planned"]
    command += ["--nodes", "3", "--gpus-per-node", "2", "--trials", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["at_once"] == 6
    assert found["value"] == pytest.approx(sum(found["steps"].values()))
    assert found["carried_bytes"] < found["plan_bytes"]
