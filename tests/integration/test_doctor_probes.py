"""The doctor on real things: a driver that was killed, a cluster of `ray start`, locks, the command itself.

Each test ends the processes that it has started, by their numbers, and no other.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from typer.testing import CliRunner
from waiting import wait_until

from rlsweep.cli import app
from rlsweep.run import doctor as examination
from rlsweep.run import doctor_cluster
from rlsweep.run.doctor_cluster import cluster_findings
from rlsweep.run.doctor_finding import Finding, Level
from rlsweep.run.doctor_process_facts import ProcessFacts, read_processes
from rlsweep.run.doctor_processes import process_findings
from rlsweep.run.doctor_runs import run_findings
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord

ROOT = Path(__file__).parents[2]
STORE_BYTES = 80 * 2**20

DRIVER = f"""
import time, ray
ray.init(address="local", include_dashboard=False, num_cpus=1, object_store_memory={STORE_BYTES})
print("up", flush=True)
time.sleep(600)
"""

HOLDER = """
import sys, time
from pathlib import Path
from rlsweep.run.launch import locked
from rlsweep.store.layout import RunLayout
with locked(RunLayout(Path(sys.argv[1]))):
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def ray_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temp folder of Ray for this test alone; sockets in it leave no room for a longer path."""
    folder = Path(tempfile.mkdtemp(prefix="doctor", dir="/tmp"))
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield folder / "ray"
    for one in processes_below(folder):
        end(one.pid)
    shutil.rmtree(folder, ignore_errors=True)


def processes_below(folder: Path) -> list[ProcessFacts]:
    """Those that have files of the folder open, or its name on their command line."""
    found = read_processes().values()
    return [
        one
        for one in found
        if one.pid != os.getpid() and any(f"{folder}/" in word for word in (*one.command, *one.files))
    ]


def end(pid: int) -> None:
    try:
        psutil.Process(pid).kill()
    except psutil.NoSuchProcess:
        return


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process that has said it is up."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def about(findings: list[Finding], words: str) -> list[Finding]:
    return [one for one in findings if words in one.text]


def test_what_a_killed_driver_leaves_is_named_until_it_is_gone(ray_folder: Path) -> None:
    driver = start(DRIVER)
    living = about(process_findings(ray_folder), f"(pid {driver.pid}, python")
    assert [one.level for one in living] == ["ok"]
    assert about(process_findings(ray_folder), f"(pid {driver.pid}) is gone") == []
    below = processes_below(ray_folder)
    agents = [one.pid for one in below if one.ray_name.endswith("Agent")]  # workers die with their raylet
    raylet = next(one.pid for one in below if one.ray_name == "raylet")
    assert len(agents) == 2
    for pid in agents:
        psutil.Process(pid).send_signal(signal.SIGSTOP)  # else they would leave some time in this test
    driver.kill()
    driver.wait()
    wait_until(lambda: raylet not in read_processes())
    (left,) = about(process_findings(ray_folder), f"(pid {driver.pid}) is gone")
    assert left.level == "warning"
    killed = [int(pid) for pid in left.remedy.rpartition("kill -9 ")[2].split()]
    assert set(agents) <= set(killed)
    assert driver.pid not in killed
    assert all(f"Agent (pid {pid}, " in left.text for pid in agents)
    for pid in killed:
        end(pid)
    wait_until(lambda: about(process_findings(ray_folder), f"(pid {driver.pid}) is gone") == [])


@pytest.fixture
def cluster(ray_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a cluster that `ray start` has made, and that asks for a token."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "c0ffee" * 8)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client_port = free.getsockname()[1]
    options = {"port": 0, "num-cpus": 1, "object-store-memory": STORE_BYTES, "include-dashboard": "false"}
    ports = {"ray-client-server-port": client_port, "dashboard-agent-listen-port": 0}
    words = [f"--{name}={value}" for name, value in (options | ports).items()]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return (ray_folder / "ray_current_cluster").read_text()


def test_a_cluster_of_ray_start_is_no_leftover_and_says_what_it_has(
    ray_folder: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = processes_below(ray_folder)
    session = next(one.session for one in below if one.session)
    findings = about(process_findings(ray_folder), session)
    assert [one.level for one in findings] == ["note"]
    assert "`ray start` made" in findings[0].text
    named = {pid for one in process_findings(ray_folder) for pid in one.remedy.split() if pid.isdigit()}
    assert not named & {str(one.pid) for one in below}

    monkeypatch.setattr(doctor_cluster, "ANSWER_SECONDS", 60.0)  # this machine may be busy
    version = metadata.version("ray")
    answers = cluster_findings(cluster, version)
    assert [one.level for one in answers] == ["ok"]
    assert "1 node, 1 CPUs, 0 GPUs" in answers[0].text
    assert [one.level for one in cluster_findings(cluster, "2.0.0")] == ["ok", "problem"]
    monkeypatch.delenv("RAY_AUTH_MODE")
    refused = cluster_findings(cluster, version)
    assert [one.level for one in refused] == ["problem"]
    assert "asks for a token" in refused[0].text


def test_who_listens_but_is_no_ray_is_waited_for_no_longer_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_cluster, "ANSWER_SECONDS", 0.5)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        findings = cluster_findings(f"127.0.0.1:{mute.getsockname()[1]}", "2.60.0")
    assert [one.level for one in findings] == ["warning"]
    assert "said nothing of Ray within 0.5 s" in findings[0].text


def write_run(storage: Path, name: str, *statuses: str) -> RunLayout:
    layout = Storage(storage).run(name)
    records = [TrialRecord(str(i), "c", {}, 0, "", status=status) for i, status in enumerate(statuses)]
    objective = Objective("score", "maximize")
    Manifest(name, {}, "", "", "", [objective], "", "", {}, records).write(layout)
    return layout


def test_a_lock_is_held_until_its_holder_is_killed(tmp_path: Path) -> None:
    layout = write_run(tmp_path, "breakout", "running")
    holder = start(HOLDER, str(layout.root))
    try:
        held = run_findings(Storage(tmp_path))
        assert [one.level for one in held] == ["ok"]
        assert f"breakout is in use (pid {holder.pid}); 1 trials running" in held[0].text
    finally:
        holder.kill()
        holder.wait()
    assert layout.lock.is_file()
    left = run_findings(Storage(tmp_path))
    assert [one.level for one in left] == ["warning"]
    assert "nobody holds its lock" in left[0].text
    FileLock(layout.lock).acquire(timeout=0).lock.release()  # looking at it has not kept it


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from rlsweep.cli import main; main()", "doctor", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_the_command_tells_all_subjects_and_fails_for_a_problem(tmp_path: Path) -> None:
    write_run(tmp_path, "fine", "finished")
    done = doctor("--json", "--storage", str(tmp_path))
    findings = json.loads(done.stdout)
    subjects = ["versions", "processes", "disk", "ports", "gpu", "cluster", "runs"]
    assert list(dict.fromkeys(one["subject"] for one in findings)) == subjects
    assert all(set(one) == {"level", "subject", "text", "remedy"} for one in findings)
    assert all(one["remedy"] for one in findings if one["level"] != "ok")
    assert done.returncode == any(one["level"] == "problem" for one in findings)
    assert [one["level"] for one in findings if one["subject"] == "runs"] == ["ok"]

    write_run(tmp_path, "torn", "finished").manifest.write_text('{"format": 2, "na')
    torn = doctor("--storage", str(tmp_path))
    assert torn.returncode == 1
    assert f"{tmp_path}/torn/sweep.json cannot be read" in torn.stdout.replace("\n", "")
    assert "runs, problem: put sweep.json back from a copy" in torn.stdout
    assert torn.stderr == ""


def test_only_a_problem_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def examined(level: Level) -> int:
        found = [Finding(level, "disk", "[bold]as said[/bold]", "do that")]
        monkeypatch.setattr(examination, "examine", lambda _: found)
        done = CliRunner().invoke(app, ["doctor", "--json"])
        assert json.loads(done.stdout)[0]["level"] == level
        return done.exit_code

    assert [examined(level) for level in Level] == [0, 0, 0, 1]
