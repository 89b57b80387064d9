"""The class of a failure, told by the text of its trace: Ray and torch raise few exceptions of their own."""

from __future__ import annotations

import re

from rlsweep.store.failures import FailureClass

_SIGNS: tuple[tuple[FailureClass, str], ...] = (
    ("cuda_out_of_memory", r"CUDA out of memory|torch\.(cuda\.)?OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED"),
    (
        "out_of_memory",
        r"running low on memory|ray\.exceptions\.OutOfMemoryError|^MemoryError"
        r"|numpy\S*_ArrayMemoryError|Cannot allocate memory|can't allocate memory",
    ),
    (
        "storage",
        r"No space left on device|Disk quota exceeded|Read-only file system|Stale file handle"
        r"|\[Errno (5|28|30|116|122)\]|is no whole checkpoint:|is damaged: \S+ is not as it was written"
        r"|When (writing|uploading|reading)\b.*\bin bucket|AWS Error",
    ),
    (
        "divergence",
        r"Expected parameter .* to satisfy the constraint|returned nan values"
        r"|probability tensor contains either `inf`, `nan`",
    ),
    (
        "environment",
        r'File "[^"]*\b(gymnasium|ale_py|rlsweep.rl.(atari|environments|games|pixels|rewards))\b[^"]*", '
        r"line \d+, in (\w*step\w*|reset\w*)\n",
    ),
    (
        "preemption",
        r"NodeDiedError|node has died|node was (terminated|drained|preempted)|ActorDiedError"
        r"|WorkerCrashedError|actor is temporarily unavailable"
        r"|ActorUnavailableError|actor died unexpectedly|OwnerDiedError|placement group .*(removed|lost)"
        r"|TaskUnschedulableError|ActorUnschedulableError|LocalRayletDiedError",
    ),
)
"""In this order: what killed a process says more than that it was killed."""


def classify(trace: str) -> FailureClass:
    """The class of the failure that a trace tells of; `error` where nothing in it is known.

    Args:
        trace: of one failure, as Ray gives it: with the frames of the process in which it was raised.
    """
    for kind, sign in _SIGNS:
        if re.search(sign, trace, flags=re.MULTILINE):
            return kind
    return "error"
