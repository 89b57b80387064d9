"""The cores of a trial at work side by side: one thread of its own for each part of a batch.

Torch would split every single operation among its threads, which then wait for each other in each of them.
Where oneDNN adds up a convolution's weight gradients they spin meanwhile, and beside one other busy process
each of these waits is a time slice: an update then takes forty times as long (docs/decisions/0007).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

MIN_ROWS = 32
"""Images in one part; with fewer the parts cost more than they win (a batch of 32, the Nature CNN)."""

_cores = 1
_helpers: ThreadPoolExecutor | None = None
_thread = threading.local()


def use_cores(count: int) -> None:
    """Let this process compute on so many cores from now on; an operation by itself has one thread.

    Args:
        count: cores, at least 1.
    """
    global _cores, _helpers
    torch.set_num_threads(1)
    if _helpers is not None and count != _cores:
        _helpers.shutdown()
        _helpers = None
    if _helpers is None and count > 1:
        _helpers = ThreadPoolExecutor(count - 1, "core", initializer=_begin_helping)
    _cores = count


def side_by_side(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """What the jobs return. The caller does the first, and then those that no core was free for.

    Autograd's and autocast's modes are a thread's own: a job sets those that it needs. Jobs of a job are done
    one after the other.
    """
    if _helpers is None or _is_helper():
        return [job() for job in jobs]
    others = [(job, _helpers.submit(job)) for job in jobs[1:]]
    try:
        return [jobs[0](), *(job() if future.cancel() else future.result() for job, future in others)]
    finally:  # whatever failed, nothing goes on unseen
        wait([future for _, future in others if not future.cancel()])


def parts_of(batch: Tensor) -> int:
    """Into how many parts a batch (B, …) of images, or what stands for them, is worth dividing."""
    if batch.device.type != "cpu" or _is_helper():
        return 1
    return max(1, min(_cores, len(batch) // MIN_ROWS))


def in_parts(layers: nn.Module, compute: Callable[[Tensor], Tensor], images: Tensor, parts: int) -> Tensor:
    """`compute(images)`, each part of the batch on a core, forwards and backwards.

    Args:
        layers: whose parameters `compute` uses.
        compute: (B, *shape) -> (B, features), each row by itself.
        images: (B, *shape), without a gradient of their own.
        parts: of the batch.
    """
    rows = images.tensor_split(parts)
    parameters = [parameter for parameter in layers.parameters() if parameter.requires_grad]
    if torch.is_grad_enabled() and parameters:
        return _InParts.apply(compute, rows, *parameters)  # type: ignore[no-any-return, no-untyped-call]
    return torch.cat(_computed(compute, rows, keep_graph=False))


def _computed(
    compute: Callable[[Tensor], Tensor], rows: Sequence[Tensor], *, keep_graph: bool
) -> list[Tensor]:
    def one(part: Tensor) -> Tensor:
        with torch.set_grad_enabled(keep_graph):
            return compute(part)

    return side_by_side([partial(one, part) for part in rows])


class _InParts(torch.autograd.Function):
    """Each part has a graph of its own, from the parameters to its features; their gradients are summed."""

    @staticmethod
    def forward(
        ctx: Any, compute: Callable[[Tensor], Tensor], rows: Sequence[Tensor], *parameters: Tensor
    ) -> Tensor:
        ctx.features, ctx.parameters = _computed(compute, rows, keep_graph=True), parameters
        return torch.cat([features.detach() for features in ctx.features])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        gradients = torch.split(gradient, [len(features) for features in ctx.features])
        pairs = zip(ctx.features, gradients, strict=True)
        first, *others = side_by_side([partial(torch.autograd.grad, a, ctx.parameters, b) for a, b in pairs])
        for other in others:
            for total, term in zip(first, other, strict=True):
                total += term
        return None, None, *first


def _begin_helping() -> None:
    _thread.helps = True
    torch.set_num_threads(1)  # torch counts them for each thread that calls it


def _is_helper() -> bool:
    return getattr(_thread, "helps", False)
