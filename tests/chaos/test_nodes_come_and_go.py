"""Nodes of a cluster go and come while a sweep runs; each is a raylet with its processes on this machine.

Its GPUs are numbers told to Ray: trials are placed by them, and train on the CPU (`cpu_trial`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from under_fire import ROOT, Outcome, UnderFire
from waiting import wait_until

from rlsweep.store.failures import read_failures

Sweep = Callable[..., UnderFire]
Note = Callable[[Outcome], None]

pytestmark = pytest.mark.chaos


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head without CPUs."""
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield found
    finally:
        ray.shutdown()
        found.shutdown()


def trials_on(node: Any) -> int:
    """How many processes of trials a node's raylet has."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return sum(" ".join(child.cmdline()).startswith("ray::Trial") for child in raylet.children())


def kinds_of_failures(one: UnderFire) -> list[str]:
    return [failure.kind for name in one.statuses() for failure in read_failures(one.layout.trial(name))]


def test_a_cluster_loses_a_node(sweep: Sweep, note: Note, cluster: Cluster) -> None:
    """Three nodes of one CPU each, two trials; the node of one goes, and the trial goes on on the third."""
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    cluster.wait_for_nodes()
    one = sweep("stop.env_steps=60k", environment={"RAY_ADDRESS": cluster.address})
    process = one.start()
    one.wait_for_rows(process, 8)
    lost = next(node for node in nodes if trials_on(node))
    cluster.remove_node(lost, allow_graceful=False)
    assert process.wait(600) == 0, one.messages
    assert kinds_of_failures(one) == ["preemption"]
    note(one.outcome("a cluster loses a node", 1, went_back=1))


def test_trials_share_gpus_as_planned_while_a_node_goes_and_another_comes(
    sweep: Sweep, note: Note, cluster: Cluster
) -> None:
    """Two nodes with a GPU for two trials each, one without; one with a GPU is lost, then another comes."""
    with_gpu = [cluster.add_node(num_cpus=4, num_gpus=1) for _ in range(2)]
    without = cluster.add_node(num_cpus=4, num_gpus=0)
    cluster.wait_for_nodes()
    one = sweep(
        *("stop.env_steps=50k", "seeds=3", "resources.gpus_per_learner=0.5"),
        environment={"RAY_ADDRESS": cluster.address},
    )
    command = [sys.executable, "-c", one.code, "plan", *one.arguments, "--json"]
    planned = json.loads(subprocess.check_output(command, cwd=ROOT, env=one.variables))
    assert (len(planned["trials"]), planned["max_concurrent"]) == (6, 4)
    one.code = "import cpu_trial; cpu_trial.run()"
    process = one.start()
    nodes = [*with_gpu, without]
    wait_until(lambda: [trials_on(node) for node in nodes] == [2, 2, 0], process)
    one.wait_for_rows(process, 12)
    cluster.remove_node(with_gpu.pop(), allow_graceful=False)
    one.wait_for_rows(process, 4)
    assert [trials_on(node) for node in (*with_gpu, without)] == [2, 0]
    new = cluster.add_node(num_cpus=4, num_gpus=1)
    wait_until(lambda: trials_on(new) == 2, process)
    assert process.wait(900) == 0, one.messages
    assert trials_on(without) == 0
    assert set(kinds_of_failures(one)) == {"preemption"}
    assert len(kinds_of_failures(one)) == 2
    note(one.outcome("a node with a shared GPU goes, another comes", 1, went_back=1))
