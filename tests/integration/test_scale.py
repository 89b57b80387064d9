"""A simulated sweep, small: Ray, Tune, ASHA, history, manifest and MLflow are real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.programs import read_outcome
from benchmarks.scale.figures import Driven

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 900
TRIALS = 20
MOST_ROWS = 16


def test_a_sweep_is_driven_without_training(tmp_path: Path) -> None:
    kept = tmp_path / "samples"
    noted = f'callbacks=[{{name: "benchmarks.scale.samples:Samples", file: {kept}}}]'
    command = [sys.executable, "-m", "benchmarks.scale.drive", "--trials", str(TRIALS), "--set", noted]
    command += ["--concurrent", "4", "--nodes", "2", "--gpus-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    outcome = read_outcome(done.stdout)
    driven = Driven.of(outcome)
    assert 0 < outcome.details["finished"] < TRIALS, "ASHA has stopped some, not all"
    assert 2 * TRIALS <= driven.rows < MOST_ROWS * TRIALS
    assert [sample.trials for sample in driven.samples] == [0, TRIALS]
    assert [json.loads(line) for line in kept.read_text().splitlines()] == [vars(s) for s in driven.samples]
    assert driven.cpu_seconds == pytest.approx(outcome.value)
    assert driven.raylets == 2
    assert 0 < driven.manifest_bytes < driven.bytes_on_disk
