"""What a trial's processes take of the machine."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import psutil
import pynvml
import torch

from callbacks.worker.trial_callback import TrialCallback, TrialFacts

GIB = 2**30


class SystemUse(TrialCallback):
    """CPUs and memory of the trial's process, and of its env runners and learners on the same node.

    Keys: `system/cpus` (1 is one core kept busy since the last row), `system/node_cpu_share` (of all cores of
    the node, whoever keeps them busy), `system/memory_gib` (resident), `system/gpu_memory_gib` (torch's share
    of the GPU in the trial's own process) and `system/gpu_use_share` (of the driver's last sample period, the
    part in which some kernel ran on that GPU, whoever's). The last two are NaN without a GPU in that process.
    """

    def __init__(self) -> None:
        super().__init__()
        self._processes: dict[int, psutil.Process] = {}

    def keys(self, facts: TrialFacts) -> Sequence[str]:
        return (
            "system/cpus",
            "system/node_cpu_share",
            "system/memory_gib",
            "system/gpu_memory_gib",
            "system/gpu_use_share",
        )

    def on_algorithm_init(self, *, algorithm: Any, **kwargs: Any) -> None:
        self._find(algorithm)

    def on_env_runners_recreated(self, *, algorithm: Any, **kwargs: Any) -> None:
        self._find(algorithm)

    def row(self, result: Mapping[str, Any]) -> Mapping[str, float]:
        cpus = memory = 0.0
        for process in self._processes.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                cpus += process.cpu_percent() / 100
                memory += process.memory_info().rss / GIB
        share = psutil.cpu_percent() / 100
        found = {"system/cpus": cpus, "system/node_cpu_share": share, "system/memory_gib": memory}
        if torch.cuda.is_available():
            found["system/gpu_memory_gib"] = torch.cuda.memory_reserved() / GIB
            with contextlib.suppress(pynvml.NVMLError_NotSupported):  # as on a slice of a GPU (MIG)
                found["system/gpu_use_share"] = torch.cuda.utilization() / 100
        return found

    def _find(self, algorithm: Any) -> None:
        """The processes, once: to ask an env runner for it waits for its sample."""
        runners = algorithm.env_runner_group.foreach_env_runner(_place, local_env_runner=False)
        learners = [answer.get() for answer in algorithm.learner_group.foreach_learner(_place)]
        node, _ = here = _place(None)
        pids = {pid for name, pid in [here, *runners, *learners] if name == node}
        self._processes = {pid: self._processes.get(pid) or psutil.Process(pid) for pid in pids}
        self.row({})  # CPU shares are those since the call before


def _place(_: Any) -> tuple[str, int]:
    return platform.node(), os.getpid()
