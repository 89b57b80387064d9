"""How large a sweep one driver steers: `python -m benchmarks.scale --nodes 100 --gpus-per-node 8`.

The plan is made at full size. Sweeps are driven for real, with as many trials at once as a machine has room
for: each is a process. docs/scale.md says what follows, and what is not measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from benchmarks import ROOT
from benchmarks.machine import surroundings
from benchmarks.output import PEERS, data, messages
from benchmarks.programs import MeasurementError, Outcome, failure_reason, read_outcome
from benchmarks.scale.figures import Driven, full_at, ms_per_trial

ROWS_PER_MINUTE = (1, 4, 20)
"""Of a trial: iterations of 60, 15 and 3 seconds."""


def scale(
    nodes: Annotated[int, typer.Option(min=1, help="Nodes that the plan is made for.")] = 100,
    gpus_per_node: Annotated[int, typer.Option(min=1, help="Of each; a trial takes one.")] = 8,
    planned: Annotated[int, typer.Option(min=1, help="Trials of the plan.")] = 10_000,
    trials: Annotated[str, typer.Option(help="Of each sweep that is driven, with commas between.")] = "300",
    concurrent: Annotated[int, typer.Option(min=1, help="Trials that run at once: a process each.")] = 16,
    raylets: Annotated[
        int | None,
        typer.Option(min=1, help="Nodes that Ray has, 150 MiB each; as many as it takes by default."),
    ] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="As of `rlsweep run`.")] = None,
    raw: Annotated[Path | None, typer.Option(help="Write all figures there, as JSON.")] = None,
) -> None:
    """Plan a large sweep, and drive smaller ones."""
    try:
        counts = [int(count) for count in trials.split(",") if count.strip()]
    except ValueError:
        raise typer.BadParameter(f"whole numbers with commas between, not {trials!r}") from None
    if raylets is not None and raylets * gpus_per_node < concurrent:
        raise typer.BadParameter(f"{concurrent} trials at once, a GPU each, on {raylets} nodes")
    try:
        size = [f"--nodes={nodes}", f"--gpus-per-node={gpus_per_node}"]
        plan = _run("planned", [f"--trials={planned}", *size])
        data.print(_plan_table(plan, f"{planned:,} trials, {nodes} nodes of {gpus_per_node} GPUs"))
        driven = []
        for count in counts:
            common = [f"--concurrent={concurrent}", *size]
            common += [f"--raylets={raylets}"] if raylets is not None else []
            common += [f"--set={one}" for one in setting or ()]
            outcome = _run("drive", [f"--trials={count}", *common])
            driven.append(outcome)
            messages.print(f"{count} trials: {outcome.value:.0f} CPU s of the driver", markup=False)
    except MeasurementError as error:
        messages.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    if driven:
        data.print(_driven_table([Driven.of(one) for one in driven]))
    for text in surroundings(PEERS).lines()[:2]:
        data.print(text, markup=False, soft_wrap=True)
    if raw is not None:
        found = [{"value": one.value, **one.details} for one in (plan, *driven)]
        raw.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def _run(module: str, arguments: list[str]) -> Outcome:
    """One measurement in a process of its own, whose memory is its own too."""
    command = [sys.executable, "-m", f"benchmarks.scale.{module}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MeasurementError(failure_reason(done.stderr, done.returncode))
    return read_outcome(done.stdout)


def _plan_table(plan: Outcome, title: str) -> Table:
    table = Table("what", "figure", title=title)
    for name, seconds in plan.details["steps"].items():
        table.add_row(f"{name}, CPU s", f"{seconds:.2f}")
    table.add_row("trials that fit at once", f"{plan.details['at_once']:,}")
    table.add_row("memory of the plan, MiB", f"{plan.details['plan_mib']:.0f}")
    table.add_row("sweep.json, MB", f"{plan.details['manifest_bytes'] / 1e6:.2f}")
    table.add_row("plan, pickled, MB", f"{plan.details['plan_bytes'] / 1e6:.3f}")
    table.add_row("what of it travels with a trial, MB", f"{plan.details['carried_bytes'] / 1e6:.3f}")
    return table


def _driven_table(sweeps: list[Driven]) -> Table:
    headers = [
        "trials",
        "nodes of Ray",
        "at once",
        "rows",
        "driver CPU s",
        "CPU ms a row",
        "ms a trial, first third",
    ]
    headers += ["last third", "wall s", "memory MiB", "MB on disk", "Ray's CPU s"]
    headers += [f"full at, {rows} rows/min" for rows in ROWS_PER_MINUTE]
    table = Table(*headers, title="sweeps that were driven")
    for one in sweeps:
        table.add_row(
            f"{one.trials:,}",
            str(one.raylets),
            str(one.concurrent),
            f"{one.rows:,}",
            f"{one.cpu_seconds:.1f}",
            f"{one.ms_per_row:.1f}",
            *_thirds(one),
            f"{one.wall_seconds:.0f}",
            f"{one.memory_mib:.0f}",
            f"{one.bytes_on_disk / 1e6:.1f}",
            f"{one.ray_cpu_seconds:.1f}",
            *(f"{full_at(one.ms_per_row, rows):,.0f}" for rows in ROWS_PER_MINUTE),
        )
    return table


def _thirds(one: Driven) -> list[str]:
    try:
        return [f"{ms_per_trial(one.samples, begin, begin + 1 / 3):.1f}" for begin in (0.0, 2 / 3)]
    except ValueError:  # too few trials for samples on the way
        return ["–", "–"]


if __name__ == "__main__":
    typer.run(scale)
