"""PPO and IMPALA with the learner on a CUDA GPU: `python -m benchmarks.gpu`.

Env runners on all cores, one learner in the trial's process. GPU use is what nvidia-smi says every half
second meanwhile. Where there is no GPU it says so and ends with exit code 4, as rlsweep does for a machine
that cannot run something.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.table import Table

from benchmarks.catalogue import Candidate
from benchmarks.machine import surroundings
from benchmarks.measure.stopwatch import cores
from benchmarks.output import PEERS, data, messages
from benchmarks.programs import MeasurementError, end_programs_with_this_one, run
from rlsweep.errors import PreflightError

INTERVAL_SECONDS = 0.5
QUERY = ("nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "--id=0")

ENVS_PER_RUNNER = 16


@dataclass
class GpuUse:
    """The first GPU's use while a block runs.

    Attributes:
        percent: of the time that a kernel ran, one figure for each sample.
        mib: memory in use, likewise.
    """

    percent: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> GpuUse:
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        if self._thread:
            self._thread.join()

    @property
    def busiest(self) -> list[float]:
        """Samples of the busier half: the other one is imports and set-up."""
        return sorted(self.percent)[len(self.percent) // 2 :]

    def _sample(self) -> None:
        while not self._is_over.wait(INTERVAL_SECONDS):
            done = subprocess.run(QUERY, capture_output=True, text=True, check=False)
            used = parse_sample(done.stdout)
            if used:
                self.percent.append(used[0])
                self.mib.append(used[1])


def parse_sample(line: str) -> tuple[float, float] | None:
    """`87, 1536` -> percent and MiB; None for anything else."""
    try:
        percent, mib = (float(part) for part in line.split(","))
    except ValueError:
        return None
    return percent, mib


def gpu(
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of each measurement, at least.")] = 60,
    runners: Annotated[int, typer.Option(min=0, help="Env runners; 0 for one on each core but one.")] = 0,
) -> None:
    """Throughput and GPU use of PPO and IMPALA with the learner on the GPU."""
    where = surroundings(PEERS)
    if not where.gpus:
        raise PreflightError("no CUDA GPU on this machine (nvidia-smi lists none): nothing was measured")
    table = Table("algorithm", "env runners", "env steps/s", "GPU use, busier half", "GPU memory MiB")
    count = runners or max(1, cores() - 1)
    for algorithm in ("ppo", "impala"):
        settings = {
            "resources.gpus_per_learner": 1,
            "resources.env_runners": count,
            "resources.envs_per_env_runner": ENVS_PER_RUNNER,
            "resources.max_concurrent": 1,
            "resources.cpus_for_main_process": 1,
        }
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        with GpuUse() as used:
            try:
                value = run(Candidate(algorithm, "ours", (algorithm, *words)), seconds, PEERS).value
            except MeasurementError as error:
                messages.print(f"{algorithm}: {error}", markup=False, soft_wrap=True)
                continue
        busy = f"{statistics.mean(used.busiest):.0f}%" if used.busiest else "unknown"
        memory = f"{max(used.mib):,.0f}" if used.mib else "unknown"
        table.add_row(algorithm, str(count), f"{value:,.0f}", busy, memory)
    data.print(table)
    for text in where.lines()[:2]:
        data.print(text, markup=False, soft_wrap=True)


def main() -> None:
    """Entry point: no GPU becomes its message and its exit code."""
    end_programs_with_this_one()
    try:
        typer.run(gpu)
    except PreflightError as error:
        messages.print(str(error), markup=False, soft_wrap=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
