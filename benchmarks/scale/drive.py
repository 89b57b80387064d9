"""One simulated sweep, driven for real: `python -m benchmarks.scale.drive --trials 300 --concurrent 16`.

The spec, the plan, the preflight, Tune's controller, ASHA, the history, the manifest, the projection into
MLflow and the console are those of `rlsweep run`; the trials train nothing (`benchmarks.scale.trials`), and
the nodes and GPUs are not there.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import psutil
from ray import cloudpickle

from benchmarks import ROOT
from benchmarks.measure.stopwatch import cpu_seconds, report
from benchmarks.scale import curve, samples, trials
from benchmarks.scale.cluster import planned_machine, raylets
from benchmarks.scale.trials import no_training_for
from rlsweep.plan import make
from rlsweep.run.launch import launch
from rlsweep.run.session import ray_session
from rlsweep.spec import load
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import FINISHED, STOPPED

SPEC = Path(__file__).parent / "scale.yaml"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, run the sweep, print what the driver has used."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    num_raylets = asked.raylets or math.ceil(asked.concurrent / asked.gpus_per_node)
    if num_raylets * asked.gpus_per_node < asked.concurrent:
        parser.error(f"argument --raylets: {num_raylets} have too few GPUs for --concurrent")
    for module in (curve, trials):  # the processes of trials need not find benchmarks/
        cloudpickle.register_pickle_by_value(module)
    size = [f"search.trials={asked.trials}", f"resources.max_concurrent={asked.concurrent}"]
    sweep = load(SPEC, overrides=[*size, *asked.set], root=ROOT).sweep
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as meeting,
        raylets(num_raylets, asked.gpus_per_node) as of_ray,
        ray_session(),
    ):
        cpu, started = cpu_seconds(), time.perf_counter()
        plan = make(sweep, planned_machine(asked.nodes, asked.gpus_per_node))
        storage = Storage(Path(folder))
        processes = min(asked.trials, asked.concurrent)
        trainable = partial(no_training_for, meeting=Path(meeting), processes=processes)
        launched = launch(plan, storage, make_trainable=trainable)
        seconds, wall_seconds = cpu_seconds() - cpu, time.perf_counter() - started
        ended = Counter(record.status for record in launched.manifest.trials)
        num_bytes, manifest_bytes = _bytes_on_disk(storage.run(sweep.name)), _size(storage.run(sweep.name))
        of_ray_seconds = sum(_cpu_seconds_of(process) for process in of_ray)
    if set(ended) - {FINISHED, STOPPED}:
        sys.exit(f"not all trials ended: {dict(ended)}")
    report(
        seconds,
        wall_seconds=wall_seconds,
        trials=asked.trials,
        concurrent=asked.concurrent,
        raylets=num_raylets,
        rows=samples.taken[-1].rows,
        finished=ended[FINISHED],
        memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        bytes_on_disk=num_bytes,
        manifest_bytes=manifest_bytes,
        ray_cpu_seconds=of_ray_seconds,
        is_tracked=launched.is_tracked,
        samples=[asdict(sample) for sample in samples.taken],
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument(
        "--concurrent", type=int, required=True, help="trials that run at once, a process each"
    )
    parser.add_argument("--raylets", type=int, help="nodes that Ray has; as many as it takes by default")
    parser.add_argument("--nodes", type=int, default=100, help="that the plan is made for")
    parser.add_argument("--gpus-per-node", type=int, default=8, help="of the plan's and of Ray's")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of `rlsweep run`")
    return parser


def _bytes_on_disk(layout: RunLayout) -> int:
    return sum(path.stat().st_size for path in layout.root.rglob("*") if path.is_file())


def _size(layout: RunLayout) -> int:
    return layout.manifest.stat().st_size


def _cpu_seconds_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
