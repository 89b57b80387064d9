"""A real sweep to which things happen, and what must hold when it has come to its end all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from histories import points_of, what_was_kept

from analysis.history import read_run
from rlsweep.plan import Machine, make
from rlsweep.spec import load
from rlsweep.store.layout import Storage
from rlsweep.store.manifest import FINISHED, Manifest

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / "tests" / "integration"
DEADLINE_SECONDS = 600.0


@dataclass
class Outcome:
    """A line of the table.

    Attributes:
        fault: what happened, and `times` how often.
        trials, lost: of the plan; those without a whole history among them.
        repeated_env_steps: rows that were made again, of the trial that repeated most.
        allowed_env_steps: one checkpoint interval, and a row, for each time that it had to go back.
        duplicate_points, missing_points: of MLflow against the history.
        seconds: that all of it took.
    """

    fault: str
    times: int
    trials: int
    lost: int
    repeated_env_steps: int
    allowed_env_steps: int
    duplicate_points: int
    missing_points: int
    seconds: float


@dataclass
class UnderFire:
    """One sweep in a folder of its own, started as often as it takes.

    Attributes:
        folder: its storage.
        logs: where drivers' messages go.
        arguments: of `rlsweep run`.
        environment: variables beside those of this process.
        every: env steps between two checkpoints.
        code: that is the command line.
    """

    folder: Path
    logs: Path
    arguments: list[str]
    every: int
    environment: Mapping[str, str] = field(default_factory=dict)
    code: str = "from rlsweep.cli import main; main()"
    started: float = field(default_factory=time.monotonic)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        spec, *settings = self.arguments
        options = list(zip(settings[::2], settings[1::2], strict=True))
        overrides = [value for name, value in options if name == "--set"]
        self.sweep = load(spec, profile=dict(options).get("--profile"), overrides=overrides, root=ROOT).sweep
        self.layout = Storage(self.folder).run(self.sweep.name)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the driver."""
        own = {"RLSWEEP_STORAGE": str(self.folder), "PYTHONPATH": str(ENVIRONMENTS)}
        return {**os.environ, **own, **self.environment}

    def start(self, *more: str) -> subprocess.Popen[str]:
        """Run the sweep, or let it go on."""
        command = [sys.executable, "-c", self.code, "run", *self.arguments, *more]
        log = (self.logs / f"driver-{len(self.processes)}.log").open("w")
        process = subprocess.Popen(
            command, cwd=ROOT, env=self.variables, stdout=log, stderr=log, text=True, start_new_session=True
        )
        self.processes.append(process)
        return process

    @property
    def messages(self) -> str:
        """What the driver that was started last has said."""
        return (self.logs / f"driver-{len(self.processes) - 1}.log").read_text()

    def run_to_the_end(self, exit_code: int = 0) -> None:
        """Start it once more, and wait until it has ended."""
        process = self.start()
        assert process.wait(DEADLINE_SECONDS) == exit_code, self.messages
        assert "Traceback" not in self.messages, self.messages

    def wait_for(self, condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        """Until something holds while a driver lives."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.messages
            assert process.poll() is None, self.messages
            time.sleep(0.02)

    def wait_for_rows(self, process: subprocess.Popen[str], more: int = 2) -> None:
        """Until that many rows have come since now, whichever trial's."""
        before = self.num_rows
        self.wait_for(lambda: self.num_rows >= before + more, process)

    def kill(self, process: subprocess.Popen[str]) -> None:
        """SIGKILL for a driver."""
        process.send_signal(signal.SIGKILL)
        process.wait(30)

    def processes_called(self, name: str) -> list[psutil.Process]:
        """Processes of the driver that was started last, by the beginning of their title."""
        found = []
        for child in psutil.Process(self.processes[-1].pid).children(recursive=True):
            try:
                if " ".join(child.cmdline()).startswith(name):
                    found.append(child)
            except psutil.Error:
                continue
        return found

    @property
    def num_rows(self) -> int:
        """Of all trials, whole or not, made again or not."""
        return sum(path.read_bytes().count(b"\n") for path in self.layout.root.glob("*/result.json"))

    def statuses(self) -> dict[str, str]:
        """Trial id -> how it stands."""
        return {record.id: record.status for record in Manifest.read(self.layout).trials}

    def planned(self) -> set[str]:
        """Ids of the trials that an undisturbed sweep has; of a search that learns, none."""
        return {trial.id for trial in make(self.sweep, Machine.of(2, 1)).trials}

    def outcome(
        self,
        fault: str,
        times: int,
        went_back: int,
        *,
        tracking_uri: str = "",
        intervals: int = 1,
        endings: tuple[str, ...] = (FINISHED,),
    ) -> Outcome:
        """Assert what must hold, and count.

        Args:
            fault: for the table.
            times: it happened.
            went_back: how often one trial had to go back to a checkpoint, at most.
            tracking_uri: of MLflow; the embedded store by default.
            intervals: between checkpoints that it lost each time.
            endings: how trials may end.
        """
        planned, statuses = self.planned(), self.statuses()
        if planned:
            assert set(statuses) == planned
        run = read_run(self.layout)
        points = points_of(self.sweep.name, tracking_uri or Storage(self.folder).tracking_uri)
        kept = what_was_kept(run, self.layout, points, endings)
        row = max(int(trial.rows["env_steps"].diff().max()) for trial in run.trials)
        allowed = went_back * (intervals * self.every + 2 * row)
        seconds = time.monotonic() - self.started
        found = Outcome(
            *(fault, times, len(run.trials), kept.lost, kept.repeated_env_steps, allowed),
            *(kept.duplicate_points, kept.missing_points, seconds),
        )
        assert (kept.lost, kept.duplicate_points, kept.missing_points) == (0, 0, 0), found
        assert kept.repeated_env_steps <= allowed, found
        return found

    def clean_up(self) -> None:
        """End what a test that failed has left."""
        for process in self.processes:
            if process.poll() is None:
                children = psutil.Process(process.pid).children(recursive=True)
                process.kill()
                process.wait()
                for child in children:
                    if child.is_running():
                        child.kill()
