"""Seconds from one trial's end to the next one's first training step, trials one after the other.

Trials of two training iterations each, on CartPole, one env runner, a checkpoint at the end. From the moment
at which the driver has a trial's last row to the moment at which it has the next trial's last row, less two
iterations as long as a trial's second one is: its first one waits for what has not started yet, and that
belongs to the turnaround. Ours is `rlsweep run`, whose rows are noted on disk as they come; the other one is
`tune.Tuner("PPO", param_space=PPOConfig())` with a callback that takes the time.
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

from benchmarks import ROOT
from benchmarks.measure.stopwatch import report
from rlsweep.run.session import quiet_libraries
from rlsweep.spec import Sweep, load
from rlsweep.store.layout import Storage
from rlsweep.store.rows import SECONDS

SPEC = "base/cartpole_ppo.yaml"
NAME = "bench_turnaround"
BATCH = 512
"""Of the spec, in env steps."""

ITERATIONS = 2

End = tuple[float, float]
"""When the driver had a trial's last row (Unix time), and the seconds of training in it."""


def turnarounds(ends: list[End]) -> list[float]:
    """Seconds between trials that ran one after the other."""
    training = ITERATIONS * statistics.median(seconds for _, seconds in ends)
    return [after - before - training for (before, _), (after, _) in pairwise(sorted(ends))]


def overrides(trials: int) -> list[str]:
    """Laid over the spec."""
    return [
        f"name={NAME}",
        f"seeds={trials}",
        f"stop.env_steps={ITERATIONS * BATCH}",
        "resources.env_runners=1",
        "resources.max_concurrent=1",
    ]


def ours(trials: int, folder: Path) -> list[End]:
    """Through the command line, as a user runs it."""
    settings = [word for override in overrides(trials) for word in ("--set", override)]
    program = [sys.executable, "-c", "from rlsweep.cli import main; main()"]
    command = [*program, "run", SPEC, "--storage", str(folder), *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    histories = sorted(Storage(folder).run(NAME).root.glob("*/result.json"))
    if done.returncode or len(histories) != trials:
        sys.exit(f"rlsweep run ended with {done.returncode} and {len(histories)} histories\n{done.stderr}")
    return [_end(history) for history in histories]


def _end(history: Path) -> End:
    seconds = [float(json.loads(line)[SECONDS]) for line in history.read_text("utf-8").splitlines()]
    if len(seconds) != ITERATIONS:
        sys.exit(f"{history} has {len(seconds)} rows; a trial should have {ITERATIONS}")
    return history.stat().st_mtime, seconds[-1] - seconds[-2]


class Clock(tune.Callback):
    """Notes when last rows come."""

    def __init__(self) -> None:
        self.ends: list[End] = []

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        """Take the time."""
        if result["training_iteration"] == ITERATIONS:
            self.ends.append((time.time(), float(result["time_this_iter_s"])))


def plain(trials: int, folder: Path) -> list[End]:
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
            stop={"training_iteration": ITERATIONS},
            callbacks=[clock],
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
        ),
    ).fit()
    if results.errors or len(clock.ends) != trials:
        sys.exit(f"{len(clock.ends)} of {trials} trials ended: {results.errors}")
    return clock.ends


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["ours", "plain"])
    parser.add_argument("--trials", type=int, default=6)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ends = (ours if arguments.what == "ours" else plain)(arguments.trials, Path(folder))
    seconds = turnarounds(ends)
    report(
        statistics.median(seconds), turnarounds=seconds, iteration_seconds=[end[1] for end in sorted(ends)]
    )


if __name__ == "__main__":
    main()
