"""What is round a sweep breaks: disks, checkpoints, MLflow, clocks, environments."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import ray
from loopback import answers, free_port
from ray.cluster_utils import Cluster
from under_fire import ENVIRONMENTS, Outcome, UnderFire
from waiting import wait_until

from rlsweep.store.failures import read_failures
from rlsweep.store.layout import RunLayout, Storage

Sweep = Callable[..., UnderFire]
Note = Callable[[Outcome], None]

pytestmark = pytest.mark.chaos


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_the_disk_is_full_for_a_while(small_disk: Path, sweep: Sweep, note: Note) -> None:
    one = sweep("stop.env_steps=250k", "checkpoints.min_free=4MB", folder=small_disk)
    process = one.start()
    ballast, times = small_disk / "ballast", 2
    for _ in range(times):
        one.wait_for_rows(process, 4)
        fill(ballast)
        time.sleep(12)  # the sweep looks every ten seconds
        ballast.unlink()
        one.wait_for(lambda: bool(one.num_rows), process)
    assert process.wait(240) == 0, one.messages
    assert "trials go on without checkpoints until there is room" in one.messages
    note(one.outcome("no space left on the disk", times, went_back=times))


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as stream:
        try:
            while stream.write(b"0" * 4096):
                pass
        except OSError:
            return


def test_a_checkpoint_is_cut_in_half(sweep: Sweep, note: Note) -> None:
    one = sweep("stop.env_steps=30k", "checkpoints.keep=5")
    times = 2
    for _ in range(times):
        process = one.start()
        one.wait_for_rows(process, 8)
        one.kill(process)
        for trial_id in one.statuses():
            newest = one.layout.checkpoints(trial_id)[-1]
            largest = max(
                (path for path in newest.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
            )
            os.truncate(largest, largest.stat().st_size // 2)
    one.run_to_the_end()
    note(one.outcome("a checkpoint cut in half", times, went_back=times, intervals=2))


def test_the_mlflow_server_is_killed_and_comes_back(sweep: Sweep, note: Note, tmp_path: Path) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    one = sweep("stop.env_steps=400k", environment={"MLFLOW_TRACKING_URI": uri})
    times = 2
    with server(tmp_path, port):
        process = one.start()
        one.wait_for_rows(process, 4)
    for _ in range(times - 1):
        one.wait_for_rows(process, 4)
        with server(tmp_path, port):
            one.wait_for_rows(process, 4)
    assert process.wait(300) == 0, one.messages
    with server(tmp_path, port):
        command = [sys.executable, "-c", "from rlsweep.cli import main; main()", "sync", one.sweep.name]
        subprocess.run(command, env=one.variables, check=True, capture_output=True)
        note(one.outcome("SIGKILL of the MLflow server", times, went_back=0, tracking_uri=uri))


@contextmanager
def server(folder: Path, port: int) -> Iterator[None]:
    """A real MLflow server, killed in the end."""
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), process, folder / "server.log")
    try:
        yield
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def test_the_sqlite_store_is_locked_by_somebody(sweep: Sweep, note: Note) -> None:
    one = sweep("stop.env_steps=300k")
    process = one.start()
    one.wait_for_rows(process, 4)
    store = sqlite3.connect(one.folder / "mlflow.db", timeout=60)
    store.execute("BEGIN EXCLUSIVE")
    before = one.num_rows
    time.sleep(30)
    assert one.num_rows > before, "the sweep does not wait for MLflow"
    store.rollback()
    store.close()
    assert process.wait(300) == 0, one.messages
    note(one.outcome("sqlite locked for 30 s", 1, went_back=0))


def test_the_clock_is_set_back(sweep: Sweep, note: Note) -> None:
    """As the histories see it: rows that come later have earlier times."""
    one = sweep("stop.env_steps=30k")
    process = one.start()
    one.wait_for_rows(process, 8)
    one.kill(process)
    for path in one.layout.root.glob("*/result.json"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        ahead = [row | {"timestamp": row["timestamp"] + 86_400} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in ahead))
    one.run_to_the_end()
    note(one.outcome("clock set back by a day", 1, went_back=1))


@pytest.mark.parametrize(
    ("how", "kind", "crash_at", "fault"),
    [("raise", "environment", 500, "an environment that raises"), ("hang", "stall", 500, "one that hangs")],
)
def test_an_environment_fails(
    how: str, kind: str, crash_at: int, fault: str, sweep: Sweep, note: Note, tmp_path: Path
) -> None:
    once = f", once: {tmp_path / 'hung'}" if how == "hang" else ""
    one = sweep(
        f"env.kwargs={{crash_at: {crash_at}, how: {how}{once}}}",
        *("stop.env_steps=1600", "checkpoints.every=256", "failures.stall=20s"),
        spec=write_crashing(tmp_path),
    )
    one.every = 256
    one.run_to_the_end()
    [trial_id] = one.statuses()
    failures = read_failures(one.layout.trial(trial_id))
    assert {failure.kind for failure in failures} == {kind}
    note(one.outcome(fault, len(failures), went_back=len(failures)))


@pytest.fixture
def little_memory() -> dict[str, str]:
    """Variables by which memory runs out once some GiB more are taken than now."""
    memory, gib = psutil.virtual_memory(), 2**30
    if memory.available < 12 * gib:
        pytest.skip("needs 12 GiB of free memory, lest it really runs out")
    return {"RAY_memory_usage_threshold": f"{(memory.total - memory.available + 5 * gib) / memory.total:.4f}"}


def hoarding(sweep: Sweep, folder: Path, environment: dict[str, str]) -> UnderFire:
    """A trial that takes ever more memory, once."""
    one = sweep(
        f"env.kwargs={{crash_at: 500, how: hoard, once: {folder / 'hoarded'}}}",
        *("stop.env_steps=1600", "checkpoints.every=256", "failures.max_retries=20"),
        spec=write_crashing(folder),
        environment=environment,
    )
    one.every = 256
    return one


def test_a_trial_takes_more_memory_than_the_node_has(
    sweep: Sweep, note: Note, tmp_path: Path, little_memory: dict[str, str]
) -> None:
    one = hoarding(sweep, tmp_path, little_memory)
    one.run_to_the_end()
    [trial_id] = one.statuses()
    failures = read_failures(one.layout.trial(trial_id))
    assert {failure.kind for failure in failures} == {"out_of_memory"}, failures
    assert failures[0].share == 2
    note(one.outcome("a trial takes the node's memory", len(failures), went_back=len(failures)))


def test_ray_kills_a_trial_in_a_cluster_whose_memory_runs_out(
    sweep: Sweep,
    note: Note,
    tmp_path: Path,
    little_memory: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tune ends with what Ray's monitor kills; the next start goes on."""
    for name, value in {**little_memory, "RAY_memory_monitor_refresh_ms": "250"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ENVIRONMENTS), prepend=os.pathsep)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        one = hoarding(sweep, tmp_path, {"RAY_ADDRESS": cluster.address})
        process = one.start()
        assert process.wait(240) == 1, one.messages
        assert "Ray's memory monitor has killed a trial" in one.messages, one.messages
        one.run_to_the_end()
        note(one.outcome("a cluster's node runs out of memory", 1, went_back=1))
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_trial_whose_losses_are_no_numbers_costs_no_other(sweep: Sweep, note: Note, tmp_path: Path) -> None:
    values = "search.parameters={env.kwargs.crash_at: {values: [300, 100000]}}"
    settings = ["env.kwargs={how: nan}", "stop.env_steps=1600", "checkpoints.every=256"]
    one = sweep(values, *settings, spec=write_crashing(tmp_path))
    one.every = 256
    one.run_to_the_end()
    assert sorted(one.statuses().values()) == ["diverged", "finished"]
    note(one.outcome("losses that are no numbers", 1, went_back=0, endings=("diverged", "finished")))


def write_crashing(folder: Path) -> tuple[str, ...]:
    """A spec of one trial on the environment that fails."""
    path = folder / "crashing.yaml"
    path.write_text(
        """
version: 1
name: crashing
algorithm: ppo
env: {id: "crashing_env:Crashing-v0", kwargs: {crash_at: 1000000}}
training: {train_batch_size_per_learner: 64, minibatch_size: 32, num_epochs: 1}
network: {name: mlp}
search: {method: grid}
objective: {metric: score, goal: maximize}
resources: {envs_per_env_runner: 1}
stop: {env_steps: 1600}
"""
    )
    return (str(path),)


def test_three_hundred_trials_take_no_more_memory_than_some(
    sweep: Sweep, remark: Callable[[str], None], tmp_path: Path
) -> None:
    """Trials of one iteration; what the driver takes more after the first sixty is bounded."""
    values = ", ".join(str(1000000 + index) for index in range(300))
    one = sweep(
        f"search.parameters={{env.kwargs.crash_at: {{values: [{values}]}}}}",
        *("stop.env_steps=64", "checkpoints.every=1M"),
        spec=write_crashing(tmp_path),
    )
    process = one.start()
    driver = psutil.Process(process.pid)
    taken: dict[int, int] = {}

    def has_run(number: int) -> bool:
        ended = list(one.statuses().values()).count("finished") if one.layout.manifest.exists() else 0
        taken[ended] = driver.memory_info().rss
        time.sleep(0.5)
        return ended >= number

    deadline = time.monotonic() + 1000
    while not has_run(295):
        assert time.monotonic() < deadline
        assert process.poll() is None, one.messages
    assert process.wait(240) == 0, one.messages
    early = max(bytes_ for ended, bytes_ in taken.items() if ended <= 60)
    late = max(taken.values())
    remark(f"300 trials: the driver takes {early / 2**20:.0f} MiB until 60, {late / 2**20:.0f} at most")
    assert late - early < 100 * 2**20
    assert len(list(Storage(one.folder).run("crashing").root.glob(f"*/{RunLayout.RESULT_JSON}"))) == 300
