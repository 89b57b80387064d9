"""A plan on a cluster of three nodes foresees how many trials run at once, and so many do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from rlsweep.errors import RunError
from rlsweep.store.layout import Storage
from rlsweep.store.manifest import RUNNING, Manifest

ROOT = Path(__file__).parents[2]
SPEC = [
    "cartpole_ppo.yaml",
    *("--set", "search={method: random, trials: 6, parameters: {training.lr: {min: 1e-4, max: 1e-3}}}"),
    *("--set", "seeds=1"),
    *("--set", "stop={env_steps: 1M, time: 20s}"),
    *("--set", "evaluation=null"),
    *("--set", "resources={env_runners: 1, envs_per_env_runner: 4, cpus_for_main_process: 1}"),
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Nodes with 3, 3 and 1 CPUs: seven, of which trials of two on one node can use four."""
    cluster = Cluster()
    try:
        for cpus in (3, 3, 1):
            cluster.add_node(
                num_cpus=cpus, num_gpus=0, object_store_memory=80 * 2**20, include_dashboard=False
            )
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def rlsweep(address: str, storage: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "RAY_ADDRESS": address, "RLSWEEP_STORAGE": str(storage)}
    command = [sys.executable, "-c", "from rlsweep.cli import main; main()", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_as_many_trials_start_as_the_plan_foresees(address: str, tmp_path: Path) -> None:
    strict = ["--set", "resources.placement=STRICT_PACK"]
    stdout, stderr = rlsweep(address, tmp_path, "plan", *SPEC, *strict, "--json").communicate(timeout=300)
    planned = json.loads(stdout)
    assert sorted(node["resources"]["CPU"] for node in planned["nodes"]) == [1, 3, 3], stderr
    assert planned["max_concurrent"] == 2
    process = rlsweep(address, tmp_path, "run", *SPEC, *strict)
    seen = [0]
    try:
        while process.poll() is None and len(seen) < 2000:
            seen.append(running(tmp_path))
            if seen.count(2) > 100:
                break
            time.sleep(0.1)
    finally:
        process.terminate()
        process.communicate(timeout=300)
    assert max(seen) == planned["max_concurrent"]


def test_what_no_node_holds_is_refused(address: str, tmp_path: Path) -> None:
    big = ["--set", "resources.cpus_for_main_process=4"]
    process = rlsweep(address, tmp_path, "plan", *SPEC, *big)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 4
    assert "the bundle of its main process ({4 CPU}) fits on no node" in stderr
    assert "comes nearest: 4 CPU where 3 is free" in stderr


def running(storage: Path) -> int:
    try:
        manifest = Manifest.read(Storage(storage).run("cartpole_ppo"))
    except RunError:
        return 0
    return sum(record.status == RUNNING for record in manifest.trials)
