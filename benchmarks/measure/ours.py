"""A trial of rlsweep as a sweep would run it on this machine, alone."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from benchmarks.measure.rllib import time_training
from benchmarks.measure.work import SPECS, bench_plan
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.cores import use_cores
from rlsweep.run.custom_metrics import CustomMetrics
from rlsweep.run.session import ray_session


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
        time_training(
            arguments.algorithm,
            config,
            arguments.seconds,
            lambda algorithm: CustomMetrics(algorithm, arguments.algorithm).row,
            resources=resources,
        )


if __name__ == "__main__":
    main()
