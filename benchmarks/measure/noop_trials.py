"""CPU seconds and memory of the driver for trials that do nothing: all of `rlsweep run` but the training.

The plan, the preflight, Tune, the history, MLflow and the console are rlsweep's own; only the Trainable is
another one, whose single row comes at once.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.tune import PlacementGroupFactory, Trainable

from benchmarks import ROOT
from benchmarks.measure.stopwatch import cpu_seconds, report
from rlsweep.plan import Plan, make
from rlsweep.run.launch import launch
from rlsweep.run.progress import Progress
from rlsweep.run.rows import result_row
from rlsweep.run.session import ray_session
from rlsweep.spec import load
from rlsweep.store import rows
from rlsweep.store.layout import Storage
from rlsweep.store.manifest import FINISHED

ENV_STEPS = 512


class OneRow(Trainable):
    """A trial with one row that says nothing."""

    row: dict[str, Any]

    @classmethod
    def default_resource_request(cls, _config: dict[str, Any]) -> PlacementGroupFactory:
        return PlacementGroupFactory([{"CPU": 1}])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        ending = {"done": True, rows.REACHED_STOP: True, rows.HAS_DIVERGED: False, rows.LINEAGE: None}
        return {**self.row, **ending, "should_checkpoint": False}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save."""


def one_row_for(plan: Plan) -> type[OneRow]:
    """What `launch` makes trials of."""
    progress = Progress(env_steps=ENV_STEPS)
    row = result_row(plan.sweep, progress, {}, parallel_games=1, new_env_steps=ENV_STEPS, seconds=1.0)
    return type("OneRow", (OneRow,), {"row": row})


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", type=int)
    trials = parser.parse_args().trials
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    overrides = [f"name=bench_driver_{trials}", f"seeds={trials}", f"stop.env_steps={ENV_STEPS}"]
    sweep = load("base/cartpole_ppo.yaml", overrides=overrides, root=ROOT).sweep
    with tempfile.TemporaryDirectory() as folder, ray_session() as machine:
        cpu, started = cpu_seconds(), time.perf_counter()
        plan = make(sweep, machine)
        launched = launch(plan, Storage(Path(folder)), make_trainable=one_row_for)
        seconds = cpu_seconds() - cpu
        wall_seconds = time.perf_counter() - started
    ended = [record.status for record in launched.manifest.trials]
    if ended != [FINISHED] * trials:
        sys.exit(f"of {trials} trials {ended.count(FINISHED)} finished")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report(seconds, memory_mib=peak_mib, wall_seconds=wall_seconds, trials=trials)


if __name__ == "__main__":
    main()
