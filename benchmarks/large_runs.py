"""How fast large sweeps are read: `python -m benchmarks.large_runs --trials 1000 --rows 1000`.

A made-up run with the keys of a real one is written, then summarised by `rlsweep` (first and second time) and
turned into tables by `ray.tune.ExperimentAnalysis`, each in a process of its own, imports not counted.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer
from rich.table import Table

from benchmarks import ROOT
from benchmarks.machine import surroundings
from benchmarks.output import PEERS, data, messages
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import FINISHED, Manifest, Objective, TrialRecord
from rlsweep.store.rows import row_keys

NAME = "large"
KEYS = 60

OURS = """
import time
from pathlib import Path
from analysis.findings import find
from rlsweep.store.layout import Storage
started = time.perf_counter()
found = find(Storage(Path({storage!r})).run("large"))
assert len(found.summary) == {configurations}
print(time.perf_counter() - started)
"""
RAY = """
import time
from pathlib import Path
from ray.train._internal.storage import StorageContext
from ray.tune import ExperimentAnalysis
from ray.tune.experiment import Trial
started = time.perf_counter()
folder = Path({folder!r})
trials = []
for path in sorted(folder.glob("t*"))[:{trials}]:
    storage = StorageContext(str(folder.parent), folder.name, trial_dir_name=path.name)
    trial = Trial("PPO", trial_id=path.name, storage=storage, stub=True)
    trial.run_metadata.last_result = {{"done": True}}
    trials.append(trial)
tables = ExperimentAnalysis(str(folder / "experiment_state.json"), trials=trials).trial_dataframes
assert len(tables) == {trials} and all(len(table) for table in tables.values())
print(time.perf_counter() - started)
"""
"""As Ray reads an experiment whose state file it has loaded."""


def measure(
    trials: Annotated[int, typer.Option(min=2)] = 1000,
    rows: Annotated[int, typer.Option(min=1, help="Of each trial.")] = 1000,
    with_ray: Annotated[bool, typer.Option(help="Let Ray read it too.")] = True,
) -> None:
    """Write a run, read it."""
    folder = Path(tempfile.mkdtemp(prefix="rlsweep-large-"))
    try:
        layout = Storage(folder).run(NAME)
        num_bytes = _write(layout, trials, rows)
        messages.print("written")
        ours = OURS.format(storage=str(folder), configurations=(trials + 1) // 2)
        title = f"{trials:,} trials x {rows:,} rows x {KEYS} keys, {num_bytes / 1e9:.2f} GB"
        table = Table("what", "seconds", "memory (GiB)", "Ray's time over it", title=title)
        programs = [("summary, first time", ours), ("summary, second time", ours)]
        if with_ray:
            programs.append(("Ray's dataframes", RAY.format(folder=str(layout.root), trials=trials)))
        found = {label: _timed(program) for label, program in programs}
        for label, (seconds, gib) in found.items():
            times = f"{found[programs[-1][0]][0] / seconds:.1f}x" if with_ray else ""
            table.add_row(label, f"{seconds:.1f}", f"{gib:.2f}", times)
        data.print(table)
    finally:
        shutil.rmtree(folder)
    for text in surroundings(PEERS).lines()[:2]:
        data.print(text, markup=False, soft_wrap=True)


def _write(layout: RunLayout, trials: int, rows: int) -> int:
    """A run of PPO's keys, filled up to KEYS, as Tune and rlsweep leave it; its bytes of result.json."""
    rng = np.random.default_rng(0)
    keys = row_keys("ppo")
    keys += [f"custom/weight_norm/layer_{index}" for index in range(KEYS - len(keys) - 5)]
    records: list[TrialRecord] = []
    num_bytes = 0
    for index in range(trials):
        values = {"training.lr": float(f"{10 ** rng.uniform(-5, -3):.4g}") if index % 2 == 0 else 0.0}
        if index % 2:
            values = records[-1].values  # two seeds each
        record = TrialRecord(f"t{index:05}", f"c{index // 2}", values, index % 2, "", status=FINISHED)
        records.append(record)
        trial = layout.trial(record.id)
        trial.mkdir(parents=True)
        (trial / "params.json").write_text(json.dumps(values))
        numbers = rng.normal(size=(rows, len(keys))).cumsum(axis=0)
        numbers[: rows // 100] = np.nan
        with layout.result_json(record.id).open("w") as stream:
            for step, line in enumerate(numbers.tolist(), 1):
                row = dict(zip(keys, line, strict=True))
                row |= {"score_valid": step > rows // 100, "env_steps": 2048 * step, "frames": 8192 * step}
                row |= {"training_iteration": step, "timestamp": 1_700_000_000 + step, "games": 5 * step}
                num_bytes += stream.write(json.dumps(row) + "\n")
    objective = Objective("score", "maximize", most_env_steps=2048 * rows)
    Manifest(NAME, {}, "", "", "", [objective], "", "", {}, records).write(layout)
    return num_bytes


def _timed(program: str) -> tuple[float, float]:
    """The seconds that a program prints, and the most memory (resident) of it and its processes in GiB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.py"
        path.write_text(program)
        most = 0
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = psutil.Popen(
            [sys.executable, str(path)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        while process.poll() is None:
            most = max(most, _resident(process))
            time.sleep(0.05)
        output, _ = process.communicate()
    if process.returncode:
        raise typer.Exit(1)
    return float(output), most / 2**30


def _resident(process: psutil.Process) -> int:
    found = 0
    with contextlib.suppress(psutil.Error):
        for one in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                found += one.memory_info().rss
    return found


if __name__ == "__main__":
    typer.run(measure)
