"""Machines that never come back: another one goes on with a sweep in S3. And an S3 that does not answer."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from object_store import BUCKET, object_store
from under_fire import Outcome, UnderFire

from rlsweep.store.layout import Storage

Sweep = Callable[..., UnderFire]
Note = Callable[[Outcome], None]

URI = f"s3://{BUCKET}/runs"

pytestmark = pytest.mark.chaos


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    with object_store() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield environment


@pytest.fixture
def start_on(
    server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[UnderFire, str], subprocess.Popen[str]]:
    """Starts a sweep on a machine: one that has a working copy of its own."""

    def start(one: UnderFire, machine: str) -> subprocess.Popen[str]:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        one.environment = {**server, "RLSWEEP_STORAGE": URI, "XDG_CACHE_HOME": str(tmp_path / machine)}
        storage = Storage.at(URI)
        one.folder, one.layout = storage.root, storage.run(one.sweep.name)
        return one.start()

    return start


def end_all(process: subprocess.Popen[str]) -> None:
    """What a machine that goes down does to a driver and to all that it has started."""
    children = psutil.Process(process.pid).children(recursive=True)
    for one in (process, *children):
        if one.pid and psutil.pid_exists(one.pid):
            one.send_signal(signal.SIGKILL)
    process.wait(30)
    psutil.wait_procs(children, timeout=120)


def test_each_start_is_on_another_machine(
    sweep: Sweep, note: Note, start_on: Callable[[UnderFire, str], subprocess.Popen[str]]
) -> None:
    draw, times = random.Random(0), 5
    one = sweep("stop.env_steps=60k")
    for number in range(times):
        process = start_on(one, f"machine-{number}")
        one.wait_for_rows(process, draw.randint(2, 6))
        time.sleep(draw.uniform(0, 6))
        assert process.poll() is None, "it ended before it was killed: it needs more env steps"
        end_all(process)
    process = start_on(one, "the-last")
    assert process.wait(600) == 0, one.messages
    # What a machine had not sent is made again too: five seconds of rows, and a checkpoint ahead of them.
    note(one.outcome("its machine is lost, with S3", times, went_back=times, intervals=2))


def test_the_storage_is_away_while_a_sweep_runs(
    sweep: Sweep,
    note: Note,
    start_on: Callable[[UnderFire, str], subprocess.Popen[str]],
    server: dict[str, str],
) -> None:
    one = sweep("stop.env_steps=60k")
    process = start_on(one, "machine")
    one.wait_for_rows(process, 3)
    port = server["AWS_ENDPOINT_URL"].rpartition(":")[2]
    (s3,) = [child for child in psutil.Process().children() if {"moto.server", port} <= {*child.cmdline()}]
    s3.suspend()
    time.sleep(20)
    s3.resume()
    assert process.wait(600) == 0, one.messages
    note(one.outcome("S3 does not answer for 20 s", 1, went_back=1))
