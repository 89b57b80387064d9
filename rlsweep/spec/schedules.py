"""Values that change while a trial trains: `{linear: [2.5e-4, 0]}` in place of a number.

    {linear: [start, end]}                 a straight line over the trial's `stop.env_steps`
    {cosine: [start, end]}                 half a cosine over the same (Loshchilov & Hutter 2017, eq. 5)
    {piecewise: [[0, 1.0], [1M, 0.05]]}    straight lines between [env steps, value], then constant

Every one becomes points of a piecewise linear function, which is what RLlib's schedulers take.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, TypeAlias

from rlsweep.spec.quantities import parse_env_steps

Points: TypeAlias = list[list[float]]
"""[[env steps, value], ...], the first at 0, straight lines between them, the last value ever after."""

SCHEDULABLE: dict[str, tuple[str, ...]] = {
    "ppo": ("lr", "entropy_coeff", "clip_param", "vf_clip_param", "vf_loss_coeff"),
    "appo": ("lr", "entropy_coeff", "clip_param", "vf_loss_coeff"),
    "impala": ("lr", "entropy_coeff", "vf_loss_coeff"),
    "dqn": ("lr", "epsilon"),
}
"""Algorithm -> hyperparameters that may change with env steps."""

SCHEDULED_BY_RLLIB = ("lr", "entropy_coeff", "epsilon")
"""Those that RLlib's own schedulers change; our learner changes the others (`rlsweep.rl.coefficients`)."""

SHAPES = ("linear", "cosine", "piecewise")

COSINE_SEGMENTS = 64
"""Straight pieces of a cosine: the largest error is (pi / 64)^2 / 16 = 0.00015 of its range."""


def is_schedule(value: Any) -> bool:
    """Whether a value was meant as a schedule: a mapping whose keys are shapes."""
    return isinstance(value, dict) and bool(value) and all(key in SHAPES for key in value)


def schedule_points(value: Any, env_steps: int, frames_per_env_step: int = 1) -> Points:
    """The points of a schedule.

    Args:
        value: as written in a spec.
        env_steps: length of a trial, over which `linear` and `cosine` run.
        frames_per_env_step: for quantities in frames.

    Raises:
        ValueError: it has none of the three forms, or its env steps do not rise from 0.
    """
    if not is_schedule(value) or len(value) != 1:
        raise ValueError(
            "a schedule is one of {linear: [a, b]}, {cosine: [a, b]}, {piecewise: [[0, a], ...]}"
        )
    ((shape, points),) = value.items()
    if shape == "piecewise":
        return _piecewise(points, frames_per_env_step)
    if not (isinstance(points, (list, tuple)) and len(points) == 2 and all(map(_is_number, points))):
        raise ValueError(f"{shape} takes two numbers, [start, end], not {points!r}")
    start, end = map(float, points)
    if shape == "linear":
        return [[0, start], [env_steps, end]]
    shares = [segment / COSINE_SEGMENTS for segment in range(COSINE_SEGMENTS + 1)]
    rises = [[round(share * env_steps), _cosine(start, end, share)] for share in shares]
    return [point for point, following in pairwise(rises) if point[0] < following[0]] + [rises[-1]]


def scheduled_value(points: Points, env_steps: float) -> float:
    """The value of a piecewise linear function after so many env steps."""
    for (left, low), (right, high) in pairwise(points):
        if env_steps < right:
            return low + (high - low) * (env_steps - left) / (right - left)
    return points[-1][1]


def _piecewise(points: Any, frames_per_env_step: int) -> Points:
    if not (isinstance(points, (list, tuple)) and len(points) > 1):
        raise ValueError("piecewise takes at least two points, [[0, a], [1M, b]]")
    found: Points = []
    for point in points:
        if not (isinstance(point, (list, tuple)) and len(point) == 2 and _is_number(point[1])):
            raise ValueError(f"a point is [env steps, number], not {point!r}")
        step = parse_env_steps(point[0], frames_per_env_step)
        if not _is_number(step):
            raise ValueError(f"a point is [env steps, number], not {point!r}")
        found.append([step, float(point[1])])
    if found[0][0] != 0:
        raise ValueError(f"the first point is at 0 env steps, not at {found[0][0]}")
    if any(left[0] >= right[0] for left, right in pairwise(found)):
        raise ValueError("the env steps of the points have to rise")
    return found


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
