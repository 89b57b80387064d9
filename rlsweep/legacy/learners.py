"""Learners and the batches that they divide among themselves."""

from __future__ import annotations

from functools import partial

from rlsweep.legacy import keys, values
from rlsweep.legacy.draft import Draft
from rlsweep.legacy.experiment import Experiment


def convert_learners(old: Experiment, new: Draft) -> int:
    """GPUs and learners; returns among how many learners a batch is divided."""
    gpus = old.take("num_gpus")
    learners = old.take(*keys.NAMES["resources.learners"])
    share = old.take(*keys.NAMES["resources.gpus_per_learner"])
    has_learners = learners.is_written or share.is_written
    counted = learners if has_learners else gpus
    count = 1 if counted.is_grid else counted.count
    if has_learners:
        new.rename("resources.learners", learners)
        new.rename("resources.gpus_per_learner", share)
        new.drop(gpus, "the learners have GPUs of their own")
    elif count > 1:
        new.rename("resources.learners", gpus)
        new.write("resources.gpus_per_learner", 1, "", gpus.where)
    else:
        new.rename("resources.gpus_per_learner", gpus, values.one_gpu_at_most)
    if any((*gpus.values, *share.values)):
        new.write("resources.gpus", "auto", "on the CPU where such a GPU is not there")
    return count


def convert_batches(old: Experiment, new: Draft, algorithm: str, learners: int) -> None:
    """The old batches were those of all learners together."""
    note = f"of {learners} learners together" if learners > 1 else ""
    for name, new_name, defaults in (
        ("train_batch_size", "train_batch_size_per_learner", keys.TRAIN_BATCH_SIZE),
        ("sgd_minibatch_size", "minibatch_size", keys.MINIBATCH_SIZE),
    ):
        key = old.take(name, default=defaults.get(algorithm))
        is_implied = learners > 1 and algorithm in defaults and not old.look(new_name).is_written
        if key.is_written or is_implied:
            new.put(f"training.{new_name}", partial(values.divided, learners=learners), key, note=note)
