"""An RLlib Algorithm, ours or stock, timed from one training iteration to the next."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from benchmarks.measure.stopwatch import Stopwatch

ASYNCHRONOUS = ("impala", "appo")

Follow = Callable[[dict[str, Any]], Any]
"""What is done with RLlib's result of an iteration."""


def time_training(
    algorithm: str,
    config: AlgorithmConfig,
    seconds: float,
    follow: Callable[[Algorithm], Follow] | None = None,
    **details: Any,
) -> None:
    """Train for a while and print the env steps per second, sampling, learning and all the rest.

    IMPALA drops samples that its learner has no time for: an env step counts only if it was trained on.

    Args:
        algorithm: its name.
        config: RLlib's.
        seconds: to measure at least, after a first iteration in which it has learned.
        follow: gives what else a trial of this algorithm does with each result; measured too.
        details: printed beside the result.
    """
    built = config.build_algo()
    try:
        after = follow(built) if follow else None
        sampled, trained = _train(built, 0, after)
        while not trained:
            sampled, trained = _train(built, trained, after)
        watch, first_trained = Stopwatch(seconds), trained
        while not watch.note(sampled):
            sampled, trained = _train(built, trained, after)
    finally:
        built.stop()
        shutil.rmtree(built.logdir, ignore_errors=True)  # an empty folder in ~/ray_results
    trained_per_env_step = (trained - first_trained) / watch.env_steps
    used = min(1.0, trained_per_env_step) if algorithm in ASYNCHRONOUS else 1.0
    watch.report(share_of_samples_used=used, trained_per_env_step=trained_per_env_step, **details)


def _train(algorithm: Any, trained: int, after: Follow | None) -> tuple[int, int]:
    """One iteration; env steps sampled and trained on since the beginning, `trained` of them before.

    RLlib's `num_env_steps_trained_lifetime` counts the whole batch again for each minibatch. A result of an
    asynchronous learner that has not finished a batch says nothing of what it trained on.
    """
    result = algorithm.train()
    if after is not None:
        after(result)
    sampled = result["env_runners"].get("num_env_steps_sampled_lifetime", 0)
    learners = result.get("learners", {}).get("__all_modules__", {})
    return int(sampled), max(trained, int(learners.get("num_module_steps_trained_lifetime", 0)))
