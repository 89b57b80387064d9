"""A sweep in an S3 storage: begun on one machine, which dies, gone on with and looked at on another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from object_store import BUCKET, object_store
from waiting import wait_until

from rlsweep.store.remote import Remote

ROOT = Path(__file__).parents[2]
URI = f"s3://{BUCKET}/runs"
SWEEP = [
    *("run", "cartpole_ppo.yaml", "--profile", "smoke"),
    *("--set", "checkpoints.every=2000", "--set", "stop.env_steps=10M"),
]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    with object_store() as found:
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        yield {**os.environ, "RLSWEEP_STORAGE": URI}


def command(environment: dict[str, str], machine: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from rlsweep.cli import main; main()", *arguments],
        cwd=ROOT,
        env={**environment, "XDG_CACHE_HOME": str(machine)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output(environment: dict[str, str], machine: Path, *arguments: str) -> str:
    process = command(environment, machine, *arguments)
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 0, text
    return text


def histories(run: Remote) -> dict[str, list[int]]:
    """Trial -> the iterations of its rows."""
    found = {}
    for name in run.files():
        if name.endswith("/result.json"):
            lines = (run.read(name) or b"").splitlines()
            found[name.split("/")[0]] = [json.loads(line)["training_iteration"] for line in lines]
    return found


def has_checkpoint(run: Remote) -> bool:
    return any(name.endswith("MANIFEST.json") for name in run.files()) and bool(histories(run))


def has_more_rows(run: Remote, before: dict[str, list[int]]) -> bool:
    now = histories(run)
    return all(max(now[trial_id]) > max(iterations) for trial_id, iterations in before.items())


def test_another_machine_goes_on_where_one_died(environment: dict[str, str], tmp_path: Path) -> None:
    run = Remote.open(URI).at("cartpole_ppo")
    first, second, third = tmp_path / "first", tmp_path / "second", tmp_path / "third"
    process = command(environment, first, *SWEEP)
    wait_until(lambda: has_checkpoint(run), process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    psutil.wait_procs(children, timeout=300)
    before = histories(run)

    process = command(environment, second, *SWEEP)
    wait_until(lambda: has_more_rows(run, before), process)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 143, text
    assert f"{run.uri} was left by process" in text
    after = histories(run)
    for trial_id, iterations in after.items():
        known = before.get(trial_id, [])
        assert iterations[: len(known)] == known
        counted = sorted(set(iterations))
        assert counted == list(range(1, counted[-1] + 1)), "no iteration is missing"
        assert len(iterations) - len(counted) < max(known, default=1), "it did not begin anew"
    assert ".owner.json" not in run.files()

    assert "2 interrupted" in output(environment, third, "status")
    output(environment, third, "report", "cartpole_ppo")
    assert "from: " in output(environment, third, "best", "cartpole_ppo")
    assert "mean" in output(environment, third, "rollout", "cartpole_ppo", "--games", "1")
    assert {"best/policy.json", "report/index.html"} <= run.files().keys()
