"""A plan at full size: `python -m benchmarks.scale.planned --nodes 100 --gpus-per-node 8 --trials 10000`.

What `rlsweep run` does before the first trial begins, for nodes that are not there.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ray import cloudpickle

from benchmarks import ROOT
from benchmarks.measure.stopwatch import cpu_seconds, report
from benchmarks.scale.cluster import planned_machine
from benchmarks.scale.drive import SPEC
from rlsweep.plan import make
from rlsweep.rl import preflight
from rlsweep.run.manifest import new_manifest
from rlsweep.run.trial import trainable_for
from rlsweep.spec import load
from rlsweep.store.layout import Storage
from rlsweep.store.manifest import Manifest

Found = TypeVar("Found")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, plan, print what each step took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--gpus-per-node", type=int, required=True)
    asked = parser.parse_args(arguments)
    steps: dict[str, float] = {}

    def timed(name: str, act: Callable[[], Found]) -> Found:
        started = cpu_seconds()
        found = act()
        steps[name] = round(cpu_seconds() - started, 3)
        return found

    started = time.perf_counter()
    sweep = load(SPEC, overrides=[f"search.trials={asked.trials}"], root=ROOT).sweep
    before_mib = _peak_mib()
    plan = timed("plan", lambda: make(sweep, planned_machine(asked.nodes, asked.gpus_per_node)))
    plan_mib = _peak_mib() - before_mib
    at_once = timed("placement", lambda: plan.max_concurrent)
    timed("preflight", lambda: preflight.check(plan))
    manifest = timed("manifest", lambda: new_manifest(plan))
    with tempfile.TemporaryDirectory() as folder:
        layout = Storage(Path(folder)).run(sweep.name)
        timed("manifest, written", lambda: manifest.write(layout))
        manifest_bytes = layout.manifest.stat().st_size
        timed("manifest, read", lambda: Manifest.read(layout))
    whole, carried = (len(cloudpickle.dumps(one)) for one in (plan, trainable_for(plan).plan))
    report(
        sum(steps.values()),
        wall_seconds=time.perf_counter() - started,
        steps=steps,
        at_once=at_once,
        plan_mib=plan_mib,
        manifest_bytes=manifest_bytes,
        plan_bytes=whole,
        carried_bytes=carried,
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
