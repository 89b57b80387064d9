"""A trial of rlsweep as a sweep would run it on this machine, alone."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm

from benchmarks.measure.rllib import time_training
from benchmarks.measure.work import SPECS, bench_plan
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.callbacks import worker_callbacks
from rlsweep.rl.cores import use_cores
from rlsweep.run.custom_metrics import CustomMetrics
from rlsweep.run.session import ray_session
from rlsweep.spec import Sweep


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithm", choices=list(SPECS))
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--set", action="append", default=[], help="laid over the spec")
    arguments = parser.parse_args()
    with ray_session() as machine:
        trial = bench_plan(arguments.algorithm, machine, *arguments.set).example
        config = build_config(trial.sweep, trial.seed, trial.resources)
        use_cores(trial.resources.cpus_for_main_process)
        resources = asdict(trial.resources)
        time_training(arguments.algorithm, config, arguments.seconds, _Rows(trial.sweep), resources=resources)


class _Rows:
    """What the spec's callbacks add to the rows, as a trial asks for it."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._metrics: CustomMetrics | None = None

    def __call__(self, algorithm: Algorithm, result: dict[str, Any]) -> None:
        if self._metrics is None:
            keys = list(worker_callbacks(self._sweep.callbacks))
            self._metrics = CustomMetrics(algorithm, self._sweep.algorithm, keys)
        self._metrics.row(result)


if __name__ == "__main__":
    main()
