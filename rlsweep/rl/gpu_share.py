"""Several trials on one GPU: each process keeps to the part of the memory that Ray has given it."""

from __future__ import annotations

import ray
import torch
from ray.rllib.core.learner.torch.torch_learner import TorchLearner


class SharedGpu(TorchLearner):
    """A mixin: a learner on a part of a GPU allocates no more than that part of its memory.

    Beyond it torch raises an OutOfMemoryError in the trial that takes too much, and not in its neighbour. The
    context of CUDA, some hundred MB for each process, does not count. A retry that was given a larger part
    (`failures.larger_share`, where the main process learns) has all of that.
    """

    def build(self) -> None:
        gpus = assigned_gpus()
        if 0 < gpus < 1 and torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(gpus)
        super().build()


def assigned_gpus() -> float:
    """GPUs that Ray has given this actor, such as 0.25; 0 in a process that is none."""
    if not ray.is_initialized() or not ray.get_runtime_context().get_actor_id():
        return 0.0
    return float(ray.get_runtime_context().get_assigned_resources().get("GPU", 0))
