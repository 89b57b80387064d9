"""Runs one measurement as a process of its own and reads its line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.catalogue import Candidate
from benchmarks.disturbance import Disturbance

SET_UP_SECONDS = 600.0
"""A measurement that takes so much longer than it should is ended: it hangs, or the machine is too slow."""


MOST_BUSY_CORES = 0.2
"""Of other programs; what is measured beside more of them is measured again."""

MOST_ATTEMPTS = 3

BUSY_CORES = "busy_cores_of_others"


class MeasurementError(Exception):
    """A measurement gave no figure; the message is one line that says why."""


@dataclass(frozen=True)
class Outcome:
    """What a program printed.

    Attributes:
        value: the figure.
        details: everything else.
    """

    value: float
    details: dict[str, Any]

    @property
    def busy_cores(self) -> float:
        """Cores that other programs kept busy meanwhile."""
        return float(self.details.get(BUSY_CORES, 0.0))


def run_undisturbed(candidate: Candidate, seconds: float, peers: Path) -> Outcome:
    """As `run`, and anew while other programs keep the machine busy meanwhile, at most MOST_ATTEMPTS times.

    Returns:
        The least disturbed outcome; how much so stands in its details.
    """
    outcomes: list[Outcome] = []
    while len(outcomes) < MOST_ATTEMPTS:
        outcomes.append(run(candidate, seconds, peers))
        if outcomes[-1].busy_cores <= MOST_BUSY_CORES:
            break
    return min(outcomes, key=lambda outcome: outcome.busy_cores)


def run(candidate: Candidate, seconds: float, peers: Path) -> Outcome:
    """Measure.

    Args:
        candidate: what to run.
        seconds: how long it is to measure at least.
        peers: the Python of the peers' environment.

    Raises:
        MeasurementError: it failed, hung, or printed no figure.
    """
    if candidate.for_peers and not peers.is_file():
        raise MeasurementError(f"no Python of the peers at {peers}: `make bench` installs them")
    python = str(peers) if candidate.for_peers else sys.executable
    command = [python, "-m", f"benchmarks.measure.{candidate.module}", *candidate.arguments]
    if candidate.is_timed:
        command += ["--seconds", str(seconds)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        with Disturbance() as disturbance:
            output, errors = process.communicate(timeout=3 * seconds + SET_UP_SECONDS)
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"no result after {3 * seconds + SET_UP_SECONDS:.0f} s") from None
    finally:
        _end(process)
    if process.returncode:
        raise MeasurementError(failure_reason(errors, process.returncode))
    outcome = read_outcome(output)
    outcome.details[BUSY_CORES] = round(disturbance.busy_cores, 2)
    return outcome


def end_programs_with_this_one() -> None:
    """Turn SIGTERM into an exit, in which `run` ends what it has started; it would live on in its session."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def read_outcome(output: str) -> Outcome:
    """The last line of a program's output as what it measured.

    Raises:
        MeasurementError: that line is no result.
    """
    try:
        details = json.loads(output.strip().splitlines()[-1])
        return Outcome(float(details.pop("value")), details)
    except (IndexError, ValueError, LookupError, AttributeError, TypeError):
        raise MeasurementError("it printed no result") from None


def failure_reason(errors: str, exit_code: int) -> str:
    """One line out of a program's stderr: the last exception with a message, or else the last line."""
    found = re.findall(r"^(?:\w+\.)*\w+(?:Error|Exception|Exit)\b: .+$", errors, flags=re.MULTILINE)
    lines = found or errors.strip().splitlines() or ["it said nothing"]
    return f"exit code {exit_code}: {lines[-1].strip()[:300]}"


def _end(process: subprocess.Popen[str]) -> None:
    """End what a program has left running, Ray's processes among it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
