"""Nodes and GPUs that are not there: for the planner any number, for Ray as many raylets as fit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import ray
from ray.cluster_utils import Cluster

from rlsweep.plan import Machine
from rlsweep.plan.packing import Node

CPUS_PER_GPU = 2
"""Of the simulated nodes; a trial takes one of each."""

MEMORY_MONITOR = "RAY_memory_monitor_refresh_ms"
"""Off, as in `rlsweep.run.session`."""


def planned_machine(nodes: int, gpus_per_node: int) -> Machine:
    """A cluster as the planner sees it."""
    resources = {"CPU": CPUS_PER_GPU * gpus_per_node, "GPU": gpus_per_node}
    return Machine(tuple(Node(f"node-{index:03}", resources) for index in range(nodes)))


@contextmanager
def raylets(number: int, gpus_per_node: int) -> Iterator[list[psutil.Process]]:
    """A Ray cluster of this machine for the time of the block, named by RAY_ADDRESS.

    Args:
        number: of raylets.
        gpus_per_node: of each; none of them is there.

    Yields:
        The processes of the cluster: GCS and raylets.
    """
    os.environ[MEMORY_MONITOR] = "0"
    node = {"num_cpus": CPUS_PER_GPU * gpus_per_node, "num_gpus": gpus_per_node}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    before = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        nodes = [cluster.head_node, *(cluster.add_node(**node) for _ in range(number - 1))]
        found = [
            info.process.pid for node in nodes for infos in node.all_processes.values() for info in infos
        ]
        yield [psutil.Process(pid) for pid in found]
    finally:
        ray.shutdown()
        cluster.shutdown()
        os.environ.pop("RAY_ADDRESS")
        if before is not None:
            os.environ["RAY_ADDRESS"] = before
