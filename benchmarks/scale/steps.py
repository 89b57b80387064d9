"""What grows with the number of trials: `python -m benchmarks.scale.steps --trials 1000 --trials 10000`.

CPU milliseconds of single steps of a driver, and of those that it made before in their place.
"""

from __future__ import annotations

import copy
import pickle
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from ray import cloudpickle
from rich.table import Table

from benchmarks import ROOT
from benchmarks.output import data
from benchmarks.scale.cluster import planned_machine
from benchmarks.scale.drive import SPEC
from rlsweep.plan import Plan, make
from rlsweep.run.manifest import new_manifest
from rlsweep.run.trial import Trial, trainable_for
from rlsweep.run.tune_settings import Listed
from rlsweep.spec import load
from rlsweep.store.layout import Storage

TIMES = 3
"""The quickest of so many counts."""


def steps(
    trials: Annotated[list[int], typer.Option(min=1, help="Of a plan; may be given again.")] = [1000, 10_000],  # noqa: B006
) -> None:
    """Measure, print."""
    found = [_measure(count) for count in trials]
    table = Table("CPU ms of", *(f"{count:,} trials" for count in trials))
    for name in found[0]:
        table.add_row(name, *(f"{one[name]:.2f}" for one in found))
    data.print(table)


def _measure(count: int) -> dict[str, float]:
    sweep = load(SPEC, overrides=[f"search.trials={count}"], root=ROOT).sweep
    plan = make(sweep, planned_machine(100, 8))
    configurations = [trial.tune_config["trial"] for trial in plan.trials]
    manifest = new_manifest(plan)
    with tempfile.TemporaryDirectory() as folder:
        layout = Storage(Path(folder)).run(sweep.name)
        return {
            "Tune's look at the Trainable, about five a trial": _unpickled(trainable_for(plan)),
            "the same, with the list of trials in it": _unpickled(_with_trials(plan)),
            "Tune's copy of the configurations, one a trial": _cpu_ms(
                lambda: copy.deepcopy(Listed(configurations))
            ),
            "the same, as a grid": _cpu_ms(lambda: copy.deepcopy(configurations)),
            "sweep.json, written when due": _cpu_ms(lambda: manifest.write(layout)),
        }


def _with_trials(plan: Plan) -> type[Trial]:
    return type("Trial", (Trial,), {"plan": plan})


def _unpickled(trainable: type[Trial]) -> float:
    pickled = cloudpickle.dumps(trainable)
    return _cpu_ms(lambda: pickle.loads(pickled))


def _cpu_ms(act: Callable[[], Any]) -> float:
    found = []
    for _ in range(TIMES):
        started = time.process_time()
        act()
        found.append(1000 * (time.process_time() - started))
    return min(found)


if __name__ == "__main__":
    typer.run(steps)
