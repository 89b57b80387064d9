"""`make bench`: measure, print the table, keep the raw figures."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from benchmarks import ROOT
from benchmarks.catalogue import GROUPS, Candidate, chosen_rows, count_programs
from benchmarks.machine import Surroundings, surroundings
from benchmarks.output import PEERS, data, messages
from benchmarks.programs import Outcome, end_programs_with_this_one, run_undisturbed
from benchmarks.rounds import Pair, measure
from benchmarks.table import HEADER, Line, make_line, markdown, with_result
from rlsweep.errors import UsageError

README = ROOT / "benchmarks" / "README.md"
RESULTS = ROOT / "benchmarks" / "results"

MOST_LOAD = 0.5
"""Busy processes before the start, of others; more than this shows in the figures."""

SET_UP_SECONDS = 25
"""About what a measurement takes beside its `--seconds`: imports, Ray, the first iteration."""


def bench(
    only: Annotated[str, typer.Option(help=f"Rows, with commas between: {', '.join(GROUPS)}.")] = "",
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of each measurement, at least.")] = 30,
    repeats: Annotated[
        int, typer.Option(min=1, help="Interleaved rounds; the median of their ratios counts.")
    ] = 3,
    peers: Annotated[Path, typer.Option(help="The Python of the peers' environment.")] = PEERS,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if a row misses its `at least`.")
    ] = False,
    write_readme: Annotated[
        bool, typer.Option("--write-readme", help="Put the table into benchmarks/README.md.")
    ] = False,
) -> None:
    """Throughput of rlsweep against Stable-Baselines3 and stock RLlib, all in one run on this machine."""
    rows = chosen_rows(only)
    where = surroundings(peers)
    programs = count_programs(rows, repeats)
    guess = timedelta(seconds=round(programs * (seconds + SET_UP_SECONDS)))
    messages.print(f"{programs} measurements, about {guess}")
    if where.load > MOST_LOAD:
        messages.print(f"the machine is not idle: load {where.load:.1f}; the figures will suffer")
    started, done = time.monotonic(), 0

    def run(candidate: Candidate) -> Outcome:
        nonlocal done
        done += 1
        return run_undisturbed(candidate, seconds, peers)

    def say(text: str) -> None:
        elapsed = timedelta(seconds=round(time.monotonic() - started))
        messages.print(f"[{done}/{programs}, {elapsed}] {text}", markup=False, soft_wrap=True)

    pairs = measure(rows, repeats, run, say)
    lines = [make_line(row, pair) for row, pair in zip(rows, pairs, strict=True)]
    settings = f"python -m benchmarks --seconds {seconds:g} --repeats {repeats}" + (
        f" --only {only}" if only else ""
    )
    print_table(lines, where)
    messages.print(f"raw figures: {keep(pairs, lines, where, settings)}", soft_wrap=True)
    if write_readme:
        text = with_result(README.read_text("utf-8"), markdown(lines, where.lines(), settings))
        README.write_text(text, "utf-8")
        messages.print(f"written: {README}", soft_wrap=True)
    if strict and any(line.is_short for line in lines):
        raise typer.Exit(1)


def print_table(lines: list[Line], where: Surroundings) -> None:
    """The table and what belongs to it, on stdout."""
    table = Table(*HEADER)
    for line in lines:
        table.add_row(*line.cells, style="red" if line.is_short else None)
    data.print(table)
    for note in (note for line in lines for note in line.notes):
        data.print(note, markup=False, soft_wrap=True)
    for text in where.lines():
        data.print(text, markup=False, soft_wrap=True)


def keep(pairs: list[Pair], lines: list[Line], where: Surroundings, settings: str) -> Path:
    """Write every figure with what was printed beside it; returns the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y-%m-%dT%H%M%S')}.json"
    content = {
        "command": settings,
        "surroundings": asdict(where),
        "rows": [
            {**dict(zip(HEADER, line.cells, strict=True)), "value": line.value, **asdict(pair)}
            for line, pair in zip(lines, pairs, strict=True)
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return path


def main() -> None:
    """Entry point: a wrong argument becomes its message and its exit code."""
    end_programs_with_this_one()
    try:
        typer.run(bench)
    except UsageError as error:
        messages.print(str(error), markup=False, soft_wrap=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
