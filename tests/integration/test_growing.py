"""A cluster that grows: Ray's own autoscaler, with nodes that are processes of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import free_port
from ray_head import ray_head
from waiting import wait_until

from rlsweep.store.layout import Storage
from rlsweep.store.manifest import FINISHED, RUNNING, Manifest

SPEC = """
version: 1
name: growing
algorithm: ppo
env: {id: CartPole-v1}
network: {name: mlp}
objective: {metric: score, goal: maximize}
search: {method: tpe, trials: 4, parameters: {training.lr: {min: 1e-4, max: 1e-3}}}
stop: {env_steps: 10M, time: 40s}
resources: {env_runners: 0, gpus_per_learner: 0, wait_for_nodes: 10min}
"""
NO_COMMANDS = (
    *("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands"),
    *("cluster_synced_files", "rsync_exclude", "rsync_filter"),
)
PROVIDER = {
    "type": "fake_multinode",
    "use_node_id_as_ip": True,
    "disable_node_updaters": True,
    "disable_launch_config_check": True,
}
AUTOSCALING = {
    "cluster_name": "growing",
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "min_workers": 0, "max_workers": 0},
        "worker": {
            "resources": {"CPU": 1, "object_store_memory": 80 * 2**20},
            "node_config": {},
            "min_workers": 0,
            "max_workers": 2,
        },
    },
    "max_workers": 2,
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 60,
    **{key: {} for key in ("auth", "docker", "file_mounts", "head_node", "worker_nodes")},
    **{key: [] for key in NO_COMMANDS},
    "file_mounts_sync_continuously": False,
}


@pytest.fixture
def head(tmp_path: Path) -> Iterator[dict[str, str]]:
    """One without CPUs, and an autoscaler that starts up to two nodes with one each."""
    config = tmp_path / "autoscaling.json"
    port = free_port()
    provider = {**PROVIDER, "gcs_address": f"127.0.0.1:{port}"}
    config.write_text(json.dumps({**AUTOSCALING, "provider": provider}))
    variables = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with ray_head("--autoscaling-config", str(config), cpus=0, port=port, **variables) as one:
        yield {**one.environment, "RAY_ADDRESS": one.address}


def rlsweep(head: dict[str, str], folder: Path, *arguments: str) -> subprocess.Popen[str]:
    spec = folder / "growing.yaml"
    spec.write_text(SPEC)
    return subprocess.Popen(
        [sys.executable, "-c", "from rlsweep.cli import main; main()", "run", str(spec), *arguments],
        env={**head, "RLSWEEP_STORAGE": str(folder / "runs")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_sweep_waits_for_nodes_and_follows_as_they_come(head: dict[str, str], tmp_path: Path) -> None:
    refused = rlsweep(head, tmp_path, "--set", "resources.wait_for_nodes=null")
    said, _ = refused.communicate(timeout=600)
    assert refused.returncode == 4, said
    assert "one trial can never start" in said
    layout = Storage(tmp_path / "runs").run("growing")

    def running() -> int:
        statuses = [one.status for one in Manifest.read(layout).trials] if layout.manifest.exists() else []
        return statuses.count(RUNNING)

    process = rlsweep(head, tmp_path)
    wait_until(lambda: running() == 2, process)
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    assert "waiting for nodes, 10m00s at most: one trial can never start" in said
    assert [one.status for one in Manifest.read(layout).trials] == [FINISHED] * 4
