"""How cost grows: `python -m benchmarks.growth`.

Env steps per second of PPO and IMPALA with more environments and more env runners; CPU time and memory of the
driver with more trials, and their slopes per trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from benchmarks.catalogue import Candidate
from benchmarks.machine import surroundings
from benchmarks.measure.stopwatch import cores
from benchmarks.output import PEERS, data, messages
from benchmarks.programs import MeasurementError, end_programs_with_this_one, run

ENVS = (1, 2, 4, 8, 16, 32)
RUNNERS = (1, 2)
TRIALS = (10, 100, 1000)


def slope(counts: Sequence[float], costs: Sequence[float]) -> float:
    """Cost of one more, by least squares.

    Raises:
        ValueError: there are fewer than two counts.
    """
    if len(set(counts)) < 2:
        raise ValueError("a slope needs two counts")
    mean_count, mean_cost = sum(counts) / len(counts), sum(costs) / len(costs)
    pairs = list(zip(counts, costs, strict=True))
    covariance = sum((count - mean_count) * (cost - mean_cost) for count, cost in pairs)
    return covariance / sum((count - mean_count) ** 2 for count in counts)


def growth(
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of each measurement, at least.")] = 15,
    trials: Annotated[str, typer.Option(help="Numbers of trials, with commas between; empty for none.")] = (
        ",".join(map(str, TRIALS))
    ),
    throughput: Annotated[bool, typer.Option(help="Measure environments and env runners.")] = True,
) -> None:
    """Throughput over environments and env runners, cost of the driver over trials."""
    try:
        counts = [int(count) for count in trials.split(",") if count.strip()]
    except ValueError:
        raise typer.BadParameter(f"whole numbers with commas between, not {trials!r}") from None
    if throughput:
        for algorithm in ("ppo", "impala"):
            data.print(_throughput_table(algorithm, seconds))
    if counts:
        data.print(_driver_table(counts))
    for text in surroundings(PEERS).lines()[:2]:
        data.print(text, markup=False, soft_wrap=True)


def _throughput_table(algorithm: str, seconds: float) -> Table:
    table = Table("env runners", *(f"{envs} envs" for envs in ENVS), title=f"{algorithm}: env steps/s")
    for runners in RUNNERS:
        cpus_per_runner = min(1.0, max(1, cores() - 1) / runners)  # one core is the learner's
        cells = []
        for envs in ENVS:
            settings = {
                "resources.env_runners": runners,
                "resources.cpus_per_env_runner": cpus_per_runner,
                "resources.cpus_for_main_process": 1,
                "resources.envs_per_env_runner": envs,
            }
            words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
            one = Candidate(f"{runners} × {envs}", "ours", (algorithm, *words))
            cells.append(_cell(algorithm, one, seconds))
        table.add_row(str(runners), *cells)
    return table


def _cell(name: str, candidate: Candidate, seconds: float) -> str:
    try:
        value = run(candidate, seconds, PEERS).value
    except MeasurementError as error:
        messages.print(f"{name}, {candidate.name}: {error}", markup=False, soft_wrap=True)
        return "failed"
    messages.print(f"{name}, {candidate.name}: {value:,.0f} env steps/s", markup=False)
    return f"{value:,.0f}"


def _driver_table(counts: Sequence[int]) -> Table:
    table = Table("no-op trials", "driver CPU s", "driver memory MiB", "wall s", title="the driver")
    found: list[tuple[float, float, float]] = []
    for count in counts:
        one = Candidate(f"{count} trials", "noop_trials", (str(count),), is_timed=False)
        try:
            outcome = run(one, count, PEERS)
        except MeasurementError as error:
            messages.print(f"driver, {one.name}: {error}", markup=False, soft_wrap=True)
            continue
        found.append((count, outcome.value, outcome.details["memory_mib"]))
        wall = outcome.details["wall_seconds"]
        table.add_row(str(count), f"{outcome.value:.2f}", f"{found[-1][2]:.0f}", f"{wall:.0f}")
        messages.print(f"driver, {one.name}: {outcome.value:.1f} CPU s, {wall:.0f} s", markup=False)
    if len(found) > 1:
        trials, seconds, mib = zip(*found, strict=True)
        table.add_row("each more", f"{slope(trials, seconds):.4f}", f"{slope(trials, mib):.4f}", "")
    return table


if __name__ == "__main__":
    end_programs_with_this_one()
    typer.run(growth)
