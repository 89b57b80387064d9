"""`failures:`: what happens to a trial that dies or diverges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from rlsweep.spec.model import SpecModel
from rlsweep.spec.quantities import Seconds
from rlsweep.spec.scheduling import PositiveInt
from rlsweep.spec.search import Count
from rlsweep.store.failures import FAILURE_CLASSES, FailureClass

DEFAULT_RETRIES: Mapping[FailureClass, int] = {
    "preemption": 10,
    "out_of_memory": 2,
    "cuda_out_of_memory": 2,
    "storage": 5,
    "stall": 3,
    "environment": 3,
    "divergence": 0,
    "error": 0,
}
"""What comes from outside passes; a mistake in code, and numbers that are none, come again."""

MAX_BACKOFF_SECONDS = 300.0


def _by_class(value: Any) -> Any:
    """A number is that of every class; a mapping changes those that it names."""
    if isinstance(value, int) and not isinstance(value, bool):
        return dict.fromkeys(FAILURE_CLASSES, value)
    return {**DEFAULT_RETRIES, **value} if isinstance(value, Mapping) else value


class FailureSpec(SpecModel):
    """`failures:`: what happens to a trial that dies or diverges.

    Attributes:
        max_retries: by class of failure (`rlsweep.store.failures`), how often in succession a trial goes on
            from its last checkpoint; one number is that of every class. A checkpoint that was made since lets
            it count from zero again.
        backoff: seconds before the first retry; twice as long before each further one, at most
            MAX_BACKOFF_SECONDS.
        larger_share: factor by which a trial's CPUs grow with each retry after `out_of_memory`, so that it
            has fewer neighbours, and its GPU's share after `cuda_out_of_memory`; at most to what a node has.
        max_failed_trials: the sweep halts once more trials than that have failed for good; None for no limit.
        stall: seconds without a row, or from the start of its process to its first one, after which a trial
            is killed, as one that hangs. One that waits for resources has no process yet.
        nan_rows: so many rows in succession with a loss or score that is no number end the trial as
            diverged.
    """

    max_retries: Annotated[
        dict[FailureClass, Count],
        BeforeValidator(_by_class, json_schema_input_type=Count | dict[FailureClass, Count]),
    ] = Field(default_factory=lambda: dict(DEFAULT_RETRIES))
    backoff: Seconds = 5.0
    larger_share: Annotated[float, Field(ge=1, le=1000)] = 2.0
    max_failed_trials: Count | None = None
    stall: Seconds = 1800.0
    nan_rows: PositiveInt = 3

    def seconds_to_wait(self, retry: int) -> float:
        """Before retry number `retry`, which counts from 1."""
        return min(MAX_BACKOFF_SECONDS, self.backoff * 2.0 ** min(retry - 1, 30))
