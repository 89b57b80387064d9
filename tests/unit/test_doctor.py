"""What the doctor makes of facts that are made up, and of small real ones: files, sockets, versions."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import psutil
import pytest

from rlsweep.plan.packing import Node
from rlsweep.run import doctor_disk
from rlsweep.run.doctor import ask
from rlsweep.run.doctor_cluster import ClusterFacts, cluster_findings, judge_answer
from rlsweep.run.doctor_disk import (
    GIB,
    Session,
    judge_sessions,
    judge_shared_memory,
    judge_volume,
    read_sessions,
)
from rlsweep.run.doctor_finding import Finding, Level, counted, size_text
from rlsweep.run.doctor_gpus import Gpu, Torch, judge_gpus
from rlsweep.run.doctor_ports import Listener, Port, judge_ports, port_findings
from rlsweep.run.doctor_process_facts import ProcessFacts, read_processes
from rlsweep.run.doctor_processes import judge_processes
from rlsweep.run.doctor_runs import RunFacts, judge_runs, run_findings
from rlsweep.run.doctor_versions import judge_versions, version_findings, wanted_versions
from rlsweep.run.volume import Volume, read_volume
from rlsweep.store.layout import Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord

MIB = 2**20
SESSION = "session_2026-11-21_06-04-10_861068_100"
"""Begun by process 100."""

LOG = f"/tmp/ray/{SESSION}/logs/raylet.out"
RAYLET = ("/x/ray/core/src/ray/raylet/raylet", f"--session-name={SESSION}", "--min_worker_port=0", "--head")
GCS = ("/x/ray/core/src/ray/gcs/gcs_server", f"--session-name={SESSION}")
DASHBOARD = ("python", "/x/ray/dashboard/dashboard.py", f"--session-dir=/tmp/ray/{SESSION}")


def levels(findings: list[Finding]) -> list[str]:
    """Of all findings, and that each which is not ok says what to do."""
    assert all(bool(one.remedy) == (one.level != Level.OK) for one in findings)
    assert all(one.text and "\n" not in one.text + one.remedy for one in findings)
    return [str(one.level) for one in findings]


def table(*processes: ProcessFacts) -> dict[int, ProcessFacts]:
    return {one.pid: one for one in processes}


INIT = ProcessFacts(1, 0, ("/sbin/init",), is_own=False)
DRIVER = ProcessFacts(100, 50, ("python", "train.py"), is_python=True)
OF_DRIVER = [
    ProcessFacts(101, 100, GCS),
    ProcessFacts(102, 100, RAYLET),
    ProcessFacts(103, 100, DASHBOARD, is_python=True),
    ProcessFacts(110, 102, ("ray::DashboardAgent   ",), files=(LOG,), is_python=True, memory_bytes=121 * MIB),
    ProcessFacts(111, 102, ("ray::IDLE",), files=(LOG,), is_python=True),
]


def orphans(*pids: int) -> list[ProcessFacts]:
    return [replace(one, parent_pid=1) for one in OF_DRIVER if one.pid in pids]


def test_the_ray_of_a_living_driver_is_no_leftover() -> None:
    findings = judge_processes(table(INIT, DRIVER, *OF_DRIVER))
    assert levels(findings) == ["ok"]
    assert "Ray of a driver that runs (pid 100, python train.py): 5 processes, 121 MiB" in findings[0].text


def test_agents_and_workers_without_a_raylet_are_left_behind() -> None:
    findings = judge_processes(table(INIT, *orphans(110, 111)))
    assert levels(findings) == ["warning"]
    assert "the driver that started them (pid 100) is gone" in findings[0].text
    assert "ray::DashboardAgent (pid 110, 0m00s old, 121 MiB), ray::IDLE (pid 111" in findings[0].text
    assert findings[0].remedy.endswith("kill -9 110 111")
    assert "2 minutes" in findings[0].remedy


def test_agents_are_left_behind_by_a_raylet_that_died_under_its_driver() -> None:
    findings = judge_processes(table(INIT, DRIVER, OF_DRIVER[0], *orphans(110)))
    assert levels(findings) == ["warning", "ok"]
    assert "their raylet is gone" in findings[0].text


def test_a_worker_deep_below_its_raylet_is_none() -> None:
    shim = ProcessFacts(109, 102, ("bash", "-c", "python worker"))
    worker = ProcessFacts(112, 109, ("ray::Trial",), files=(LOG,), is_python=True)
    assert levels(judge_processes(table(INIT, DRIVER, *OF_DRIVER, shim, worker))) == ["ok"]


def test_a_worker_that_has_no_title_yet_counts_too() -> None:
    command = ("python", "-u", "/x/ray/_private/workers/default_worker.py")
    worker = ProcessFacts(112, 1, command, files=(LOG,), is_python=True)
    assert levels(judge_processes(table(INIT, worker))) == ["warning"]
    editor = ProcessFacts(112, 1, ("vim", "/x/ray/_private/workers/default_worker.py"))
    assert levels(judge_processes(table(INIT, editor))) == ["ok"]


def test_a_whole_ray_without_driver_is_left_behind_and_does_not_leave() -> None:
    findings = judge_processes(table(INIT, *orphans(101, 102, 103), *OF_DRIVER[3:]))
    assert levels(findings) == ["warning", "ok"]
    assert findings[0].remedy == "kill -9 101 102 103"


@pytest.mark.parametrize(
    "change",
    [
        {"--min_worker_port=0": "--min_worker_port=10002"},  # what `ray start` gives
        {"--head": "--labels="},  # `ray start --address=…`: a node of a head on another machine
    ],
)
def test_a_cluster_of_ray_start_is_told_apart(change: dict[str, str]) -> None:
    raylet = ProcessFacts(102, 1, tuple(change.get(word, word) for word in RAYLET))
    findings = judge_processes(table(INIT, *orphans(101, 103), raylet, *OF_DRIVER[3:]))
    assert levels(findings) == ["note"]
    assert "`ray start` made runs (5 processes" in findings[0].text
    assert "no leftover" in findings[0].text


def test_a_cluster_of_ray_start_is_known_by_the_address_that_it_left() -> None:
    raylet = ProcessFacts(102, 1, (*RAYLET, "--gcs-address=10.0.0.1:6379"))
    processes = table(INIT, *orphans(101), raylet)
    assert levels(judge_processes(processes, "10.0.0.1:6379")) == ["note"]
    assert levels(judge_processes(processes, "10.0.0.1:6380")) == ["warning"]


def test_a_leftover_beside_a_cluster_is_still_one() -> None:
    raylet = ProcessFacts(102, 1, (*RAYLET[:2], "--min_worker_port=10002", "--head"))
    lost = ProcessFacts(120, 1, ("ray::IDLE",), files=(LOG,), is_python=True)
    findings = judge_processes(table(INIT, raylet, *OF_DRIVER[3:], lost))
    assert levels(findings) == ["warning", "note"]
    assert findings[0].remedy.endswith("kill -9 120")


def test_a_ray_in_a_container_has_a_driver_of_another_number() -> None:
    driver = ProcessFacts(9100, 9001, ("python", "train.py"), is_python=True)
    moved = [replace(one, parent_pid=9100) if one.parent_pid == 100 else one for one in OF_DRIVER]
    assert levels(judge_processes(table(INIT, driver, *moved))) == ["ok"]


def test_a_python_that_is_the_first_process_adopts_orphans_and_is_no_driver() -> None:
    first = ProcessFacts(1, 0, ("python", "serve.py"), is_python=True)
    assert levels(judge_processes(table(first, *orphans(101, 102)))) == ["warning"]


def test_what_another_user_runs_is_his() -> None:
    theirs = [replace(one, is_own=False) for one in orphans(101, 102, 110, 111)]
    findings = judge_processes(table(INIT, *theirs))
    assert levels(findings) == ["ok"]
    assert findings[0].text.startswith("no process of Ray")


def test_many_leftovers_are_counted_and_all_can_be_killed() -> None:
    lost = [ProcessFacts(pid, 1, ("ray::IDLE",), is_python=True) for pid in range(200, 220)]
    finding = judge_processes(table(INIT, *lost))[0]
    assert finding.text.count("pid") == 6
    assert "14 more" in finding.text
    assert finding.remedy.endswith(" ".join(map(str, range(200, 220))))


@pytest.mark.parametrize(
    "command",
    [
        ("/x/bin/python", "/x/bin/rlsweep", "run", "breakout_lr.yaml"),
        ("rlsweep", "run", "breakout_lr.yaml"),
        ("python", "-c", "from rlsweep.cli import main; main()", "run", "breakout_lr.yaml"),
    ],
)
def test_sweeps_are_named(command: tuple[str, ...]) -> None:
    findings = judge_processes(table(INIT, ProcessFacts(7, 1, command, age_seconds=75)))
    assert levels(findings) == ["ok"]
    assert "a sweep runs (pid 7, 1m15s old" in findings[0].text
    assert "breakout_lr.yaml" in findings[0].text


def test_a_report_on_a_run_called_run_is_no_sweep() -> None:
    findings = judge_processes(table(INIT, ProcessFacts(7, 1, ("rlsweep", "report", "run"))))
    assert findings[0].text.startswith("no process of Ray")


def test_an_mlflow_server_is_named_once_and_without_its_password() -> None:
    server = ProcessFacts(8, 1, ("python", "-m", "mlflow", "server", "--uri", "postgresql://a:secret@h/db"))
    child = ProcessFacts(9, 8, ("python", "-m", "uvicorn", "mlflow.server.fastapi_app:app"))
    findings = judge_processes(table(INIT, server, child))
    assert levels(findings) == ["ok"]
    assert "an MLflow server runs (pid 8" in findings[0].text
    assert "secret" not in findings[0].text


@contextmanager
def holding(path: Path) -> Iterator[int]:
    """A process of its own that has a file open: this one may have had a Ray before."""
    code = "import sys, time; stream = open(sys.argv[1], 'a'); print('open', flush=True); time.sleep(100)"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_process_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / SESSION / "driver.log"
    path.parent.mkdir()
    with holding(path) as pid:
        found = read_processes()[pid]
    assert (found.is_own, found.is_python, found.parent_pid) == (True, True, os.getpid())
    assert found.session == SESSION
    assert found.memory_bytes > MIB
    assert found.age_seconds > 0


def test_versions_are_held_against_the_requirements() -> None:
    asked = ["torch==2.13.0", "ray[rllib]>=2.60,<2.61", "pandas>=2.2", 'ale-py<0.1; extra == "bench"']
    wanted = wanted_versions(asked, ">=3.11")
    assert set(wanted) == {"Python", "torch", "ray", "pandas"}
    found = {"Python": "3.11.7", "torch": "2.13.0+cpu", "ray": "2.59.1", "pandas": None, "ale-py": "0.12"}
    findings = judge_versions(found, wanted, "rlsweep 0.1.0")
    assert levels(findings) == ["problem", "problem", "ok"]
    assert findings[0].text == "ray 2.59.1 is installed; rlsweep needs ray <2.61,>=2.60"
    assert findings[0].remedy.endswith("-m pip install 'ray<2.61,>=2.60'")
    assert findings[1].text == "pandas is not installed; rlsweep needs pandas >=2.2"
    assert findings[2].text.endswith("asks for: Python 3.11.7, torch 2.13.0+cpu, ale-py 0.12")


def test_an_old_python_is_told() -> None:
    findings = judge_versions({"Python": "3.10.1"}, wanted_versions([], ">=3.11"), "rlsweep 0.1.0")
    assert levels(findings) == ["problem", "ok"]
    assert "Python >=3.11" in findings[0].remedy


def test_the_versions_that_run_these_tests_are_those_asked_for() -> None:
    findings = version_findings()
    assert levels(findings) == ["ok"]
    assert f"torch {metadata.version('torch')}" in findings[0].text


@pytest.mark.parametrize(
    ("free_bytes", "used_percent", "is_writable", "level"),
    [
        (50 * GIB, 50.0, True, "ok"),
        (9 * GIB, 50.0, True, "warning"),
        (50 * GIB, 96.0, True, "warning"),
        (GIB // 2, 50.0, True, "problem"),
        (50 * GIB, 50.0, False, "problem"),
    ],
)
def test_room_on_a_disk(free_bytes: int, used_percent: float, is_writable: bool, level: str) -> None:
    volume = Volume(Path("/data"), 2000 * GIB, free_bytes, used_percent, is_writable)
    assert levels([judge_volume(volume, "the storage")]) == [level]


def test_a_folder_that_is_not_there_yet_lies_on_the_disk_of_its_parent(tmp_path: Path) -> None:
    volume = read_volume(tmp_path / "a" / "b")
    assert volume.is_writable
    assert volume.total_bytes == psutil.disk_usage(str(tmp_path)).total
    (tmp_path / "file").write_text("")
    assert not read_volume(tmp_path / "file").is_writable


def test_old_sessions_are_measured_and_living_ones_kept(tmp_path: Path) -> None:
    living, old = SESSION, SESSION.replace("_100", "_99")
    for name in (living, old):
        (tmp_path / name / "logs").mkdir(parents=True)
        (tmp_path / name / "logs" / "raylet.out").write_bytes(os.urandom(3 * MIB))
    (tmp_path / "session_latest").symlink_to(tmp_path / living)
    with holding(tmp_path / living / "logs" / "raylet.out"):
        used = {one.session for one in read_processes().values()}
    sessions, is_complete = read_sessions(tmp_path, used)
    assert is_complete
    assert [(one.name, one.is_used) for one in sessions] == [(living, True), (old, False)]
    assert all(3 * MIB <= one.size_bytes < 9 * MIB for one in sessions)
    finding = judge_sessions(tmp_path, sessions)
    assert levels([finding]) == ["note"]
    assert finding.text.startswith(f"1 old session of Ray in {tmp_path} that no living process uses: ")
    assert finding.text.endswith(" MiB; 1 in use")
    assert f"! -name {living} -exec" in finding.remedy
    assert old not in finding.remedy


def test_the_command_removes_old_sessions_and_no_others(tmp_path: Path) -> None:
    living, old, young = SESSION, SESSION.replace("_100", "_99"), SESSION.replace("_100", "_98")
    for name in (living, old, young):
        (tmp_path / name / "logs").mkdir(parents=True)
    for name in (living, old):
        os.utime(tmp_path / name, (0, 0))
    finding = judge_sessions(tmp_path, [Session(living, 1, True), Session(old, 1, False)])
    command = finding.remedy.partition(": ")[2]
    assert command.startswith("find ")
    assert os.system(command) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living, young])


def test_many_old_sessions_are_a_warning_and_none_is_fine(tmp_path: Path) -> None:
    finding = judge_sessions(tmp_path, [Session(SESSION, 6 * GIB, False)], is_complete=False)
    assert levels([finding]) == ["warning"]
    assert finding.text.startswith("at least 1 old session")
    assert levels([judge_sessions(tmp_path, [Session(SESSION, 6 * GIB, True)])]) == ["ok"]


def test_no_time_is_lost_over_thousands_of_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / SESSION).mkdir()
    monkeypatch.setattr(doctor_disk, "MAX_SECONDS", -1.0)
    assert read_sessions(tmp_path, ()) == ([], False)


def test_shared_memory_that_is_too_small_for_the_object_store() -> None:
    docker = Volume(Path("/dev/shm"), 64 * MIB, 64 * MIB, 0.0)
    findings = judge_shared_memory(docker, 16 * GIB, [Path("/dev/shm/plasmaXYZ")])
    assert levels(findings) == ["warning", "warning"]
    assert "Ray wants 4.8 GiB" in findings[0].text
    assert "--shm-size=5g" in findings[0].remedy
    assert findings[1].remedy == "rm /dev/shm/plasmaXYZ"
    roomy = Volume(Path("/dev/shm"), 12 * GIB, 12 * GIB, 0.0)
    assert levels(judge_shared_memory(roomy, 500 * GIB, [])) == ["ok"]  # 30% of it would be 150 GiB


@contextmanager
def listening(address: str) -> Iterator[Port]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.bind((address, 0))
        one.listen()
        yield Port(one.getsockname()[1], "a test", "take another", "keep it closed")


@pytest.mark.parametrize(("address", "level"), [("127.0.0.1", "note"), ("0.0.0.0", "warning")])
def test_a_port_that_somebody_listens_on(address: str, level: str) -> None:
    with listening(address) as port:
        findings = port_findings([port])
    assert levels(findings) == [level]
    assert f"(pid {os.getpid()}) listens on {address}" in findings[0].text
    assert f"kill {os.getpid()}" in findings[0].remedy
    assert ("other machines reach it" in findings[0].text) == (level == "warning")
    assert levels(port_findings([port])) == ["ok"]


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        ("127.0.0.2", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::", False),
        ("0.0.0.0", False),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_addresses_that_other_machines_reach(address: str, is_local: bool) -> None:
    assert Listener(5000, address).is_local == is_local


def test_who_listens_may_be_hidden() -> None:
    port = Port(5000, "a test", "take another", "keep it closed")
    findings = judge_ports([port, replace(port, number=5001)], [Listener(5000, "127.0.0.1")])
    assert levels(findings) == ["ok", "note"]
    assert "5001" in findings[0].text
    assert "a process of another user" in findings[1].text


H200 = Gpu(0, "NVIDIA H200", 140 * GIB, GIB)


@pytest.mark.parametrize(
    ("gpu", "torch", "visible", "expected"),
    [
        (H200, Torch("2.13.0", "13.0", 1), None, ["ok", "ok"]),
        (replace(H200, used_bytes=100 * GIB), Torch("2.13.0", "13.0", 1), None, ["note", "ok"]),
        (H200, Torch("2.13.0+cpu", "", 0), None, ["ok", "problem"]),
        (H200, Torch("2.13.0+cpu", "", 0), "0", ["ok", "problem"]),
        (H200, Torch("2.13.0", "13.0", 0), None, ["ok", "problem"]),
        (H200, Torch("2.13.0", "13.0", 0), "", ["ok", "note"]),
    ],
)
def test_gpus(gpu: Gpu, torch: Torch, visible: str | None, expected: list[str]) -> None:
    findings = judge_gpus("580.1", [gpu], torch, visible)
    assert levels(findings) == expected
    assert "driver 580.1" in findings[0].text


def test_a_driver_without_gpu_is_fine() -> None:
    assert levels(judge_gpus("580.1", [], None, None)) == ["ok"]


def test_what_a_cluster_has() -> None:
    nodes = (Node("a", {"CPU": 8, "GPU": 1}), Node("b", {"CPU": 4}))
    findings = judge_answer("h:6379", ClusterFacts(nodes, "2.60.0", ""), "", "2.60.0")
    assert levels(findings) == ["ok"]
    assert "2 nodes, 12 CPUs, 1 GPUs: a (8 CPUs), b (4 CPUs)" in findings[0].text
    other = judge_answer("h:6379", ClusterFacts(nodes, "2.59.0", "3.9.0"), "", "2.60.0")
    assert levels(other) == ["ok", "problem", "problem"]
    assert "runs Ray 2.59.0, this machine 2.60.0" in other[1].text
    assert levels(judge_answer("h:6379", ClusterFacts((), "", ""), "", "2.60.0")) == ["problem"]


def test_a_cluster_that_refuses_says_why() -> None:
    refusal = "Traceback\nray.exceptions.AuthenticationError: InvalidAuthToken\nmore"
    findings = judge_answer("h:6379", None, refusal, "2.60.0")
    assert levels(findings) == ["problem"]
    assert "RAY_AUTH_MODE=token" in findings[0].remedy
    silent = judge_answer("h:6379", None, "Traceback\nX: no", "2.60.0")
    assert silent[0].text.endswith("does not answer: X: no")


@pytest.mark.parametrize("address", [None, "", "local"])
def test_without_an_address_ray_starts_here(address: str | None) -> None:
    assert levels(cluster_findings(address, "2.60.0")) == ["ok"]


def test_nobody_at_the_address() -> None:
    assert levels(cluster_findings("head", "2.60.0")) == ["problem"]
    with listening("127.0.0.1") as port:
        assert levels(cluster_findings(f"ray://127.0.0.1:{port.number}", "2.60.0")) == ["note"]
    findings = cluster_findings(f"127.0.0.1:{port.number}", "2.60.0")
    assert levels(findings) == ["problem"]
    assert "refused" in findings[0].text


def write_run(storage: Path, name: str, *statuses: str) -> None:
    records = [TrialRecord(str(i), "c", {}, 0, "", status=status) for i, status in enumerate(statuses)]
    objective = Objective("score", "maximize")
    Manifest(name, {}, "", "", "", [objective], "", "", {}, records).write(Storage(storage).run(name))


def test_runs_as_they_lie_on_disk(tmp_path: Path) -> None:
    assert levels(run_findings(Storage(tmp_path / "nowhere"))) == ["ok"]
    write_run(tmp_path, "ended", "finished", "failed")
    write_run(tmp_path, "killed", "finished", "running", "running")
    write_run(tmp_path, "damaged", "running")
    manifest = Storage(tmp_path).run("damaged").manifest
    manifest.write_bytes(manifest.read_bytes()[:-40])
    Storage(tmp_path).run("ended").lock.touch()  # stays where a run has ended
    findings = run_findings(Storage(tmp_path))
    assert levels(findings) == ["problem", "warning", "ok"]
    assert findings[0].text.startswith(f"{manifest} cannot be read")
    assert findings[1].text.startswith("2 trials of killed stand as running, but nobody holds its lock")
    assert findings[2].text == f"1 run in {tmp_path}, whole and in nobody's use"
    assert not Storage(tmp_path).run("killed").lock.exists()


@pytest.mark.parametrize(
    ("run", "level"),
    [
        (RunFacts(Path("runs/a"), 2, True, (7,)), "ok"),
        (RunFacts(Path("runs/a"), 2, True), "note"),  # over NFS, or another user's
        (RunFacts(Path("runs/a"), 2, None), "note"),
        (RunFacts(Path("runs/a"), 0, None), "ok"),
        (RunFacts(Path("runs/a"), 2, False), "warning"),
    ],
)
def test_locks(run: RunFacts, level: str) -> None:
    assert levels(judge_runs(Path("runs"), [run])) == [level]


def test_a_probe_that_fails_or_hangs_is_a_finding() -> None:
    def fail() -> list[Finding]:
        raise PermissionError("not yours")

    forever = threading.Event()

    def hang() -> list[Finding]:
        forever.wait()
        return []

    fine = Finding(Level.OK, "disk", "fine")
    findings = ask({"ports": fail, "gpu": hang, "disk": lambda: [fine]}, limit_seconds=2.0)
    forever.set()
    assert levels(findings) == ["warning", "warning", "ok"]
    assert [one.subject for one in findings] == ["ports", "gpu", "disk"]
    assert findings[0].text == "could not be examined: PermissionError: not yours"
    assert "did not answer within 2 s" in findings[1].text


@pytest.mark.parametrize(
    ("count_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (121 * MIB, "121 MiB"), (3 * 2**50, "3072 TiB")],
)
def test_sizes(count_bytes: int, text: str) -> None:
    assert size_text(count_bytes) == text


def test_counts() -> None:
    assert [counted(1, "run"), counted(0, "run"), counted(2, "process")] == ["1 run", "0 runs", "2 processes"]
