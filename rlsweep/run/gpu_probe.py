"""`gpus_per_learner: probe`: one trial trains for a moment on a whole GPU, to see how many can share it."""

from __future__ import annotations

import contextlib
import logging
import math
import statistics
from dataclasses import dataclass

import pynvml
import ray
import torch
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from rlsweep.errors import PreflightError
from rlsweep.plan import Plan, PlannedTrial, TrialResources, make
from rlsweep.plan.resources import MIN_AUTO_GPUS
from rlsweep.run.pending import SECONDS_BETWEEN_LOOKS, SECONDS_BETWEEN_WORDS, waiting_for
from rlsweep.run.placement import group_factory
from rlsweep.run.throughput import PROBE_SECONDS, Throughput, train_for_a_moment
from rlsweep.spec import with_values

logger = logging.getLogger(__name__)

SPARE = 1.2
"""Times the memory that was measured: later batches may be longer, and allocators leave gaps."""

MOST_TRIALS = int(1 / MIN_AUTO_GPUS)
GIB = 2**30


@dataclass(frozen=True)
class GpuUse:
    """What one trial takes of a GPU that it has for itself.

    Attributes:
        memory_bytes: its most, CUDA's context included.
        total_bytes: that the GPU has.
        busy: share of the time in which the GPU computed, 0 to 1; NaN where the driver does not say.
        throughput: of the trial.
    """

    memory_bytes: int
    total_bytes: int
    busy: float
    throughput: Throughput

    @property
    def trials(self) -> int:
        """How many such trials share the GPU: as many as its memory and, where known, its time hold."""
        of_memory = self.total_bytes // max(1, math.ceil(SPARE * self.memory_bytes))
        of_time = math.floor(1 / self.busy) if self.busy > 0 else MOST_TRIALS
        return max(1, min(of_memory, of_time, MOST_TRIALS))


def with_measured_share(plan: Plan) -> Plan:
    """The plan again with the part of a GPU that one trial takes, where the spec wants that to be measured.

    Call inside of a `ray_session`. Where there is no GPU, trials run on the CPU and nothing is measured.

    Raises:
        PreflightError: the trial that is measured fails.
    """
    if plan.sweep.resources.gpus_per_learner != "probe" or not plan.resources.gpus:
        return plan
    logger.warning("a trial trains for %.0f s on a whole GPU, to see how many can share it", PROBE_SECONDS)
    use = _measured(plan.example)
    logger.warning(
        "it took %.1f of %.1f GiB, kept the GPU busy for %.0f %% of the time, and made %.0f env steps/s: "
        "%d on each GPU",
        use.memory_bytes / GIB,
        use.total_bytes / GIB,
        100 * use.busy,
        use.throughput.env_steps_per_second,
        use.trials,
    )
    return make(with_values(plan.sweep, {"resources.gpus_per_learner": 1 / use.trials}), plan.machine)


def _measured(trial: PlannedTrial) -> GpuUse:
    """In the trial's own placement group, in a process of its own: what it takes ends with it."""
    resources = trial.resources
    asked = group_factory(resources.bundles, resources.placement, resources.label_selectors)
    main = resources.bundles[0]
    group = asked.to_placement_group()
    try:
        _wait_for_place(group, resources)
        strategy = PlacementGroupSchedulingStrategy(group, 0, placement_group_capture_child_tasks=True)
        task = ray.remote(measure).options(
            num_cpus=main["CPU"], num_gpus=main["GPU"], scheduling_strategy=strategy, max_retries=0
        )
        use: GpuUse = ray.get(task.remote(trial))
        return use
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise PreflightError(
            f"the trial that was to be measured has failed: {reason}", key="resources.gpus_per_learner"
        ) from error
    finally:
        remove_placement_group(group)


def _wait_for_place(group: PlacementGroup, resources: TrialResources) -> None:
    seconds = SECONDS_BETWEEN_LOOKS
    while not group.wait(seconds):
        logger.warning("the trial that is to be measured waits: %s", waiting_for(resources))
        seconds = SECONDS_BETWEEN_WORDS


def measure(trial: PlannedTrial) -> GpuUse:
    """Train a trial for a moment on the GPU of this process, and see what it takes."""
    before = torch.cuda.device_memory_used()
    busy: list[float] = []

    def look() -> None:
        with contextlib.suppress(pynvml.NVMLError_NotSupported):  # as on a slice of a GPU (MIG)
            busy.append(torch.cuda.utilization() / 100)

    throughput = train_for_a_moment(trial, look)
    now = torch.cuda.device_memory_used() - before
    most = now + torch.cuda.max_memory_reserved() - torch.cuda.memory_reserved()
    total = torch.cuda.get_device_properties(0).total_memory
    return GpuUse(most, total, statistics.fmean(busy) if busy else math.nan, throughput)
