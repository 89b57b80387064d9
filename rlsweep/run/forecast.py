"""A plan's summary, with what this machine and its earlier runs say about it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from rlsweep.errors import PreflightError
from rlsweep.plan import Machine, Plan
from rlsweep.plan.estimate import expected_cost, expected_work, num_to_keep
from rlsweep.plan.summary import GIB, Disk, Summary
from rlsweep.rl.size import checkpoint_bytes
from rlsweep.run.throughput import Throughput, measured_throughput
from rlsweep.store.layout import Storage


def this_machine(cpus: int | None = None, gpus: float | None = None) -> Machine:
    """The machine that this runs on; each number can be said instead of looked up."""
    return Machine.of(
        cpus=cpus or os.cpu_count() or 1, gpus=torch.cuda.device_count() if gpus is None else gpus
    )


def summarize(plan: Plan, storage: Storage, probed: Throughput | None = None) -> Summary:
    """All that can be said of a plan before it runs.

    Args:
        plan: for the machine that it will run on.
        storage: earlier runs, whose throughput counts where nothing was probed.
        probed: what a probe measured.

    Raises:
        PreflightError: the network cannot be made, or the checkpoints need more disk than the budget allows.
    """
    work = expected_work(plan)
    throughput = probed or measured_throughput(plan, storage)
    cost = (
        expected_cost(plan, work, throughput.env_steps_per_second, throughput.source) if throughput else None
    )
    trials = work.trials + work.confirming_trials
    disk = Disk(
        checkpoint_bytes=checkpoint_bytes(plan.trials[0].sweep if plan.trials else plan.sweep),
        checkpoints=trials * (num_to_keep(plan.sweep) + 1),  # and the last one
        free_bytes=shutil.disk_usage(_existing(storage.root)).free,
    )
    _check_disk(disk, plan)
    return Summary(plan, work, cost, disk)


def _check_disk(disk: Disk, plan: Plan) -> None:
    allowed = plan.sweep.budget.disk
    if allowed is not None and disk.total_bytes > allowed:
        raise PreflightError(
            f"the checkpoints take {disk.total_bytes / GIB:.2f} GiB, "
            f"budget.disk allows {allowed / GIB:.2f} GiB",
            key="budget.disk",
        )


def _existing(path: Path) -> Path:
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return path
