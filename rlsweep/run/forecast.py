"""A plan's summary, with what this machine and its earlier runs say about it."""

from __future__ import annotations

import os

import torch

from rlsweep.errors import PreflightError
from rlsweep.plan import Machine, Plan
from rlsweep.plan.estimate import expected_cost, expected_work, num_to_keep
from rlsweep.plan.summary import GIB, Disk, Summary
from rlsweep.rl.size import checkpoint_bytes
from rlsweep.run.disk import free_bytes
from rlsweep.run.throughput import Throughput, measured_throughput
from rlsweep.spec import Pb2Spec, PbtSpec
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
        PreflightError: a network cannot be made, or the checkpoints need more disk than the budget allows.
    """
    work = expected_work(plan)
    throughput = probed or measured_throughput(plan, storage)
    cost = (
        expected_cost(plan, work, throughput.env_steps_per_second, throughput.source) if throughput else None
    )
    trials = work.trials + work.confirming_trials
    disk = Disk(
        checkpoint_bytes=_largest_checkpoint(plan),
        checkpoints=trials * _checkpoints_of_a_trial(plan),
        free_bytes=None if storage.remote else free_bytes(storage.root),
    )
    _check_disk(disk, plan)
    return Summary(plan, work, cost, disk)


def _largest_checkpoint(plan: Plan) -> int:
    kinds = {trial.sweep.network.model_dump_json() + trial.sweep.env.id: trial.sweep for trial in plan.trials}
    return max(map(checkpoint_bytes, kinds.values()), default=0) or checkpoint_bytes(plan.sweep)


def _checkpoints_of_a_trial(plan: Plan) -> int:
    """The best of those that are ever written, and the last one."""
    written = plan.sweep.stop.env_steps // plan.sweep.checkpoints.every
    is_population = isinstance(plan.sweep.scheduler, (PbtSpec, Pb2Spec))
    kept = num_to_keep(plan.sweep)
    return (kept if is_population else min(kept, written)) + 1


def _check_disk(disk: Disk, plan: Plan) -> None:
    allowed = plan.sweep.budget.disk
    if allowed is not None and disk.total_bytes > allowed:
        raise PreflightError(
            f"the checkpoints take {disk.total_bytes / GIB:.2f} GiB, "
            f"budget.disk allows {allowed / GIB:.2f} GiB",
            key="budget.disk",
        )
