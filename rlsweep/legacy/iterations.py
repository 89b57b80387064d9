"""What was counted in iterations: checkpoints and evaluation."""

from __future__ import annotations

from rlsweep.legacy import keys, values
from rlsweep.legacy.draft import Draft
from rlsweep.legacy.experiment import Experiment

EVERY = "500k"
"""Env steps between checkpoints or evaluations where an old iteration had no fixed length."""


def convert_iterations(old: Experiment, new: Draft, algorithm: str) -> None:
    """What was counted in iterations: checkpoints and evaluation."""
    length = _iteration_length(old, algorithm)
    note = f"iterations of {values.quantity(length) if length else 'no fixed number of'} env steps"
    for path, otherwise in (
        ("checkpoints.every", "one at the end is always kept"),
        ("evaluation.every", "there was no evaluation"),
    ):
        key = old.take(*keys.NAMES[path])
        if all(map(values.is_count, key.values)):
            new.put(path, lambda every: values.quantity(every * length) if length else EVERY, key, note=note)
        else:
            new.drop(key, otherwise)
    keep = old.take(*keys.NAMES["checkpoints.keep"])
    if keep.is_written and "checkpoints.every" not in new:
        new.write("checkpoints.every", EVERY, "ours")
    new.rename("checkpoints.keep", keep)
    if "evaluation.every" in new:
        _evaluation(old, new)


def _evaluation(old: Experiment, new: Draft) -> None:
    games = old.look(*keys.NAMES["evaluation.games"])
    if values.is_count(games.value) and old.look("evaluation_duration_unit").value != "timesteps":
        new.rename("evaluation.games", old.take(games.name))
    new.rename("evaluation.greedy", old.take("evaluation_config.explore"), lambda explores: not explores)


def _iteration_length(old: Experiment, algorithm: str) -> int:
    """Env steps of an old iteration; 0 where it was measured in seconds."""
    names = {
        "ppo": ("train_batch_size",),
        "dqn": ("timesteps_per_iteration", "min_sample_timesteps_per_iteration"),
    }
    defaults = {"ppo": keys.TRAIN_BATCH_SIZE["ppo"], "dqn": keys.DQN_ITERATION_LENGTH}
    return old.look(*names[algorithm], default=defaults[algorithm]).count if algorithm in names else 0
