"""Seconds from one trial's end to the next one's first training step, trials one after the other.

Trials of one training iteration each, on CartPole, one env runner, a checkpoint at the end. From the moment
at which the driver has a trial's last row to the moment at which it has the next trial's first row, less the
seconds of training in that row. Ours is `rlsweep run`, whose rows are noted on disk as they come; the other
one is `tune.Tuner("PPO", param_space=PPOConfig())` with a callback that takes the time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

from benchmarks.measure.stopwatch import report
from benchmarks.measure.work import ROOT
from rlsweep.run.session import quiet_libraries
from rlsweep.spec import Sweep, load
from rlsweep.store.layout import Storage
from rlsweep.store.rows import SECONDS

SPEC = "base/cartpole_ppo.yaml"
NAME = "bench_turnaround"
ENV_STEPS = 512
"""One batch of the spec."""

Row = tuple[float, float]
"""When the driver had it (Unix time), and its seconds of training."""


def turnarounds(rows: list[Row]) -> list[float]:
    """Seconds between trials that ran one after the other and gave one row each."""
    return [second[0] - first[0] - second[1] for first, second in pairwise(sorted(rows))]


def overrides(trials: int) -> list[str]:
    """Laid over the spec."""
    return [
        f"name={NAME}",
        f"seeds={trials}",
        f"stop.env_steps={ENV_STEPS}",
        "resources.env_runners=1",
        "resources.max_concurrent=1",
    ]


def ours(trials: int, folder: Path) -> list[Row]:
    """Through the command line, as a user runs it."""
    settings = [word for override in overrides(trials) for word in ("--set", override)]
    program = [sys.executable, "-c", "from rlsweep.cli import main; main()"]
    command = [*program, "run", SPEC, "--storage", str(folder), *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    histories = sorted(Storage(folder).run(NAME).root.glob("*/result.json"))
    if done.returncode or len(histories) != trials:
        sys.exit(f"rlsweep run ended with {done.returncode} and {len(histories)} histories\n{done.stderr}")
    return [_row(history) for history in histories]


def _row(history: Path) -> Row:
    lines = history.read_text("utf-8").splitlines()
    if len(lines) != 1:
        sys.exit(f"{history} has {len(lines)} rows; a trial should have one")
    return history.stat().st_mtime, float(json.loads(lines[0])[SECONDS])


class Clock(tune.Callback):
    """Notes when rows come."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        """Take the time."""
        self.rows.append((time.time(), float(result["time_this_iter_s"])))


def plain(trials: int, folder: Path) -> list[Row]:
    """Tune and RLlib without rlsweep."""
    sweep: Sweep = load(SPEC, overrides=overrides(trials), root=ROOT).sweep
    config = PPOConfig().environment("CartPole-v1").training(**sweep.training)
    config.env_runners(num_env_runners=1, num_envs_per_env_runner=sweep.resources.envs_per_env_runner)
    config.rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64]))
    config.debugging(seed=tune.grid_search(list(range(trials))), log_level="ERROR")
    ray.init(address="local", include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    quiet_libraries()
    clock = Clock()
    results = tune.Tuner(
        "PPO",
        param_space=config,
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(
            name=NAME,
            storage_path=str(folder),
            stop={"training_iteration": 1},
            callbacks=[clock],
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
        ),
    ).fit()
    if results.errors or len(clock.rows) != trials:
        sys.exit(f"{len(clock.rows)} rows of {trials} trials: {results.errors}")
    return clock.rows


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["ours", "plain"])
    parser.add_argument("--trials", type=int, default=6)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = (ours if arguments.what == "ours" else plain)(arguments.trials, Path(folder))
    seconds = turnarounds(rows)
    report(statistics.median(seconds), turnarounds=seconds, training_seconds=[row[1] for row in sorted(rows)])


if __name__ == "__main__":
    main()
