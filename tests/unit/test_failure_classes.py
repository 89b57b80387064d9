"""The class of a failure by the text that Ray keeps of it, as it was seen, shortened."""

from __future__ import annotations

import pytest

from rlsweep.run.failure_classes import classify
from rlsweep.spec.failures import DEFAULT_RETRIES, MAX_BACKOFF_SECONDS, FailureSpec
from rlsweep.store.endings import error_reason
from rlsweep.store.failures import FAILURE_CLASSES

DIED = """Failure # 1 (occurred at 2026-11-21_06-05-03)
The actor died unexpectedly before finishing this task.
\tclass_name: Trial
\tip: 192.0.2.2
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: \
Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the \
process was killed by the OOM killer due to high memory usage, (2) ray stop --force was called.
"""

NODE = """The actor died unexpectedly before finishing this task.
The actor is dead because its node has died. Node Id: 1f. \tthe actor's node was terminated expectedly: x
"""

MONITOR = """Task was killed due to the node running low on memory.
Memory on the node (IP: 192.0.2.2, ID: 1f) was 22.9GB / 23.5GB (0.97), which exceeds the memory usage
threshold of 0.95. Ray killed this worker (ID: 2a) because it was the most recently scheduled task.
"""

RAISED = """\x1b[36mray::Trial.train()\x1b[39m (pid=31002, ip=192.0.2.2, actor_id=6b)
  File "/x/ray/tune/trainable/trainable.py", line 331, in train
    result = self.step()
  File "/x/gymnasium/vector/sync_vector_env.py", line 256, in step
    ) = self.envs[i].step(action)
  File "/x/my_env.py", line 33, in step
    raise ValueError("the environment broke on purpose")
ValueError: the environment broke on purpose
"""

RESET = RAISED.replace("in step", "in reset")

MEMORY = RAISED.replace("ValueError: the environment broke on purpose", "MemoryError")

CUDA = """  File "/x/torch/nn/modules/conv.py", line 549, in _conv_forward
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139 GiB
"""

FULL = """  File "/x/ray/train/_internal/storage.py", line 119, in _pyarrow_fs_copy_files
OSError: [Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device
"""

TORN = """  File "/x/rlsweep/run/trial.py", line 142, in load_checkpoint
rlsweep.errors.RunError: /runs/a/b/checkpoint_000001 is damaged: policy/x is not as it was written
"""

NAN = """  File "/x/torch/distributions/categorical.py", line 73, in __init__
ValueError: Expected parameter logits (Tensor of shape (32, 4)) of distribution Categorical() to satisfy \
the constraint IndependentConstraint(Real(), 1), but found invalid values:
"""

CODE = """  File "/x/callbacks/mine.py", line 12, in on_train_result
    result["custom"] = 1 / 0
ZeroDivisionError: division by zero
"""


@pytest.mark.parametrize(
    ("trace", "kind", "reason"),
    [
        (DIED, "preemption", "its worker process has died"),
        (NODE, "preemption", "its node has died"),
        (
            MONITOR,
            "out_of_memory",
            "threshold of 0.95. Ray killed this worker (ID: 2a) because it was the most recently scheduled "
            "task.",
        ),
        (MEMORY, "out_of_memory", "MemoryError"),
        (
            CUDA,
            "cuda_out_of_memory",
            "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. "
            "GPU 0 has a total capacity of 139 GiB",
        ),
        (RAISED, "environment", "ValueError: the environment broke on purpose"),
        (RESET, "environment", "ValueError: the environment broke on purpose"),
        (
            FULL,
            "storage",
            "OSError: [Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device",
        ),
        (
            TORN,
            "storage",
            "RunError: /runs/a/b/checkpoint_000001 is damaged: policy/x is not as it was written",
        ),
        (
            NAN,
            "divergence",
            "ValueError: Expected parameter logits (Tensor of shape (32, 4)) of distribution Categorical() "
            "to satisfy the constraint IndependentConstraint(Real(), 1), but found invalid values:",
        ),
        (CODE, "error", "ZeroDivisionError: division by zero"),
        ("", "error", "no reason was kept"),
    ],
)
def test_a_trace_tells_its_class_and_reason(trace: str, kind: str, reason: str) -> None:
    assert classify(trace) == kind
    assert error_reason(trace) == reason


def test_one_number_is_that_of_every_class_and_a_mapping_changes_some() -> None:
    assert FailureSpec().max_retries == DEFAULT_RETRIES
    assert set(DEFAULT_RETRIES) == set(FAILURE_CLASSES)
    assert FailureSpec.model_validate({"max_retries": 2}).max_retries == dict.fromkeys(FAILURE_CLASSES, 2)
    some = FailureSpec.model_validate({"max_retries": {"error": 1}}).max_retries
    assert some == {**DEFAULT_RETRIES, "error": 1}


def test_retries_wait_twice_as_long_each_time_up_to_a_limit() -> None:
    spec = FailureSpec.model_validate({"backoff": "10s"})
    assert [spec.seconds_to_wait(retry) for retry in (1, 2, 3, 4, 5, 6, 1000)] == [
        *(10, 20, 40, 80, 160),
        *[MAX_BACKOFF_SECONDS] * 2,
    ]
