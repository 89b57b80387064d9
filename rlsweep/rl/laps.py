"""How long the parts of an update take, on the device that does them."""

from __future__ import annotations

import time

import torch


class Laps:
    """Marks in time and the seconds between them. On CUDA they are events, passed in the GPU's own time.

    Args:
        device: that computes.
    """

    def __init__(self, device: torch.device | str) -> None:
        self._is_cuda = torch.device(device).type == "cuda"
        self._moments: list[float] = []
        self._events: list[torch.cuda.Event] = []

    def mark(self) -> None:
        """A lap ends here and the next one begins."""
        if self._is_cuda:
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._events.append(event)
        else:
            self._moments.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Of each lap; on CUDA it waits for the last mark."""
        if not self._is_cuda:
            return [end - start for start, end in zip(self._moments, self._moments[1:], strict=False)]
        self._events[-1].synchronize()
        pairs = zip(self._events, self._events[1:], strict=False)
        return [start.elapsed_time(end) / 1000 for start, end in pairs]
