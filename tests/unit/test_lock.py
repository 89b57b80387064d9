"""One writer for a run: who has it, and what is left of one that died."""

from __future__ import annotations

import json
import logging
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from waiting import wait_until

from rlsweep.errors import PreflightError
from rlsweep.run import lock
from rlsweep.run.lock import DEAD_SECONDS, locked
from rlsweep.run.signs_of_life import Owner
from rlsweep.store.layout import RunLayout

HOLD = """
import sys, time
from pathlib import Path
from rlsweep.run.lock import locked
from rlsweep.store.layout import RunLayout
with locked(RunLayout(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []

    def hold() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.wait()


def test_a_second_process_is_told_who_the_first_one_is(
    held: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = held()
    message = f"in use by process {process.pid} of .* on {platform.node()}"
    with pytest.raises(PreflightError, match=message), locked(RunLayout(tmp_path)):
        pass


def test_what_a_killed_process_left_is_taken_over_with_a_message(
    held: Callable[[], subprocess.Popen[str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = held()
    process.kill()
    process.wait()
    layout = RunLayout(tmp_path)
    with caplog.at_level(logging.WARNING), locked(layout):
        owner = Owner.read(layout.owner)
        assert owner is not None
        assert owner.pid == os.getpid()
    assert f"was left by process {process.pid} of" in caplog.text
    assert "it is taken over" in caplog.text
    assert not layout.owner.exists()
    caplog.clear()
    with locked(layout):
        pass
    assert caplog.text == "", "who leaves in order is not missed"


@pytest.mark.parametrize("silent_seconds", [5, DEAD_SECONDS + 5])
def test_another_machine_counts_as_alive_while_it_gives_signs_of_life(
    silent_seconds: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = RunLayout(tmp_path)
    elsewhere = Owner("ada", "another-machine", 17, time.time() - 600)
    layout.owner.write_text(json.dumps(asdict(elsewhere)))
    os.utime(layout.owner, (time.time() - silent_seconds,) * 2)
    if silent_seconds < DEAD_SECONDS:
        message = r"in use by process 17 of ada on another-machine, since 10m00s, last sign of life \d+ s ago"
        with pytest.raises(PreflightError, match=message), locked(layout):
            pass
        assert layout.owner.exists()
    else:
        with locked(layout):
            pass
        assert "was left by process 17 of ada on another-machine" in caplog.text


def test_who_was_taken_over_leaves_and_takes_no_leave_of_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system whose locks do not reach another machine."""
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    layout = RunLayout(tmp_path)
    elsewhere = Owner("ada", "another-machine", 17, time.time())
    terms: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: terms.append(number))
    try:
        with locked(layout):
            layout.owner.write_bytes(elsewhere.to_json())
            wait_until(lambda: len(terms) >= 2)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert Owner.read(layout.owner) == elsewhere


def test_signs_of_life_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    layout = RunLayout(tmp_path)
    with locked(layout):
        os.utime(layout.owner, (0, 0))
        wait_until(lambda: layout.owner.stat().st_mtime > 0)


@pytest.mark.parametrize("text", ["", "{", '{"user": "ada"}', "[]"])
def test_an_owner_that_cannot_be_read_is_nobody(text: str, tmp_path: Path) -> None:
    layout = RunLayout(tmp_path)
    layout.owner.write_text(text)
    with locked(layout):
        assert Owner.read(layout.owner) is not None
