"""Old values -> new ones; a value that has no new one is a ValueError."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeGuard

from rlsweep.legacy.keys import FCNET_ACTIVATION, PRIORITIZED, STACK, UNIFORM


def is_count(value: Any) -> TypeGuard[int]:
    """Whether a value is a number of things."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def number(value: Any) -> float:
    """The value, if it is a finite number. Raises ValueError as all functions below."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"a number belongs here, not {value!r}")
    return value


def same(value: Any) -> Any:
    """What has changed its name alone."""
    return value


def quantity(value: Any) -> Any:
    """10000000 -> "10M", as people write it."""
    if not is_count(value) or value % 1000:
        return value
    return f"{value // 10**3}k" if value % 10**5 or value < 10**6 else f"{value / 10**6:g}M"


def duration(value: Any) -> Any:
    """7200 seconds -> "2h"."""
    if not is_count(value) or value % 60:
        return value
    return f"{value // 60}min" if value % 3600 else f"{value // 3600}h"


def schedule(value: Any) -> Any:
    """[[0, 5e-4], [20000000, 0]] -> {piecewise: [[0, 5e-4], [20M, 0]]}; a constant stays as it is."""
    if not isinstance(value, list):
        return value
    if not value or not all(isinstance(point, list) and len(point) == 2 for point in value):
        raise ValueError("a schedule is a list of [env steps, value]")
    return (
        {"piecewise": [[quantity(step), level] for step, level in value]} if len(value) > 1 else value[0][1]
    )


def epsilon_schedule(initial: Any, final: Any, steps: Any, horizon: Any = 1) -> Any:
    """A straight line over so many steps, or over that fraction of a horizon."""
    length = max(1, round(number(steps) * number(horizon)))
    return schedule([[0, number(initial)], [length, number(final)]])


def training_intensity(fragment: Any, n_step: int, batch: int, num_envs: int) -> float:
    """Steps replayed for each step sampled: one batch after a fragment of every environment."""
    if not is_count(fragment) and fragment != "auto":
        raise ValueError(f"a number of env steps belongs here, not {fragment!r}")
    sampled = max(n_step, 1 if fragment == "auto" else fragment) * num_envs
    return float(f"{batch / sampled:.4g}")


def buffer_type(prioritized: Any, old_type: Any) -> str:
    """The new replay buffer."""
    return PRIORITIZED if prioritized and "Prioritized" in str(old_type) else UNIFORM


def one_gpu_at_most(gpus: Any) -> Any:
    """A share of a GPU; more than one are several learners, which a grid cannot change along."""
    if number(gpus) > 1:
        raise ValueError("more than one GPU is one learner each: a whole number, and an experiment for each")
    return gpus


def divided(size: Any, learners: int) -> int:
    """The part of a batch that each learner takes."""
    if not is_count(size) or size < learners:
        raise ValueError(f"a number of env steps belongs here, not {size!r}")
    return size // learners


def activation(name: Any, otherwise: str = FCNET_ACTIVATION) -> str:
    """The networks have relu, tanh and silu (once swish)."""
    folded = str(name).lower().replace("swish", "silu")
    return folded if folded in ("relu", "tanh", "silu") else otherwise


def joined(*hiddens: Any) -> list[Any]:
    """Dense layers behind each other."""
    if not all(isinstance(widths, list) for widths in hiddens):
        raise ValueError("a list of layer widths belongs here")
    return [width for widths in hiddens for width in widths]


def convolutions(filters: Any, pixels: int) -> list[list[int]]:
    """[[16, [8, 8], 4], …] -> [[16, 8, 4], …], without a last filter as large as the image."""
    return _filters(filters)[: -1 if dense(filters, pixels) else None]


def dense(filters: Any, pixels: int) -> list[int]:
    """The width of a last filter that covers all that is left of an image: a dense layer, now of the heads.

    Args:
        filters: as they were written.
        pixels: height and width of the image; 0 where they are not known.
    """
    *before, (width, kernel, _) = _filters(filters)
    for _, _, stride in before:
        pixels = -(-pixels // stride)
    return [width] if before and 0 < pixels <= kernel else []


def _filters(filters: Any) -> list[list[int]]:
    found = []
    for written in filters if isinstance(filters, list) and filters else [filters]:
        match written:
            case [width, [kernel, other], stride] if kernel == other:
                found.append([width, kernel, stride])
            case _:
                found.append(written)
        if not (isinstance(found[-1], list) and len(found[-1]) == 3 and all(map(is_count, found[-1]))):
            raise ValueError(f"a filter is [out channels, kernel, stride], not {written!r}")
    return found


CHANGES: dict[str, Callable[[Any], Any]] = {
    "training.lr": schedule,
    "training.entropy_coeff": schedule,
    "training.epsilon": schedule,
    "env.frame_stack": lambda stacks: STACK if stacks else 1,
    "network.conv_activation": partial(activation, otherwise="relu"),
    "network.head_fcnet_activation": partial(activation, otherwise="relu"),
    "stop.env_steps": quantity,
    "stop.time": duration,
}
"""New path -> what becomes of the old value there."""
