"""What the rounds of a sweep ask of Tune."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlsweep.plan import Machine, make
from rlsweep.run.tune_settings import leaves_threads
from rlsweep.spec import load

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("spec", "overrides", "leaves"),
    [
        ("pong_impala.yaml", [], True),
        ("pong_impala.yaml", ["resources.gpus_per_learner=0"], False),
        ("pong_impala.yaml", ["resources.learners=1"], False),
        ("breakout_lr.yaml", [], False),
    ],
)
def test_processes_with_threads_that_load_a_gpu_end_with_their_trial(
    spec: str, overrides: list[str], leaves: bool
) -> None:
    plan = make(load(spec, overrides=overrides, root=ROOT).sweep, Machine.of(16, 2))
    assert leaves_threads(plan) == leaves
