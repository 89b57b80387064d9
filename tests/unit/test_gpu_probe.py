"""How many trials share a GPU, by what one of them took. Measuring needs a GPU, and is not tested."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rlsweep.errors import SpecError
from rlsweep.plan import Machine, make
from rlsweep.run.gpu_probe import GpuUse, with_measured_share
from rlsweep.run.throughput import Throughput
from rlsweep.spec import load

ROOT = Path(__file__).parents[2]
PROBE = "resources.gpus_per_learner=probe"


@pytest.mark.parametrize(
    ("memory_gib", "busy", "trials"),
    [
        (2, 0.1, 4),  # more than four wait for each other
        (7, 0.1, 2),  # 1.2 times 7 GiB twice, not three times, in 24
        (21, 0.1, 1),
        (2, 0.4, 2),
        (2, 0.51, 1),
        (2, 1.0, 1),
        (2, math.nan, 4),  # a driver that does not say
        (2, 0.0, 4),
        (30, 0.1, 1),
    ],
)
def test_as_many_share_a_gpu_as_its_memory_and_time_hold(memory_gib: int, busy: float, trials: int) -> None:
    assert GpuUse(memory_gib * 2**30, 24 * 2**30, busy, Throughput(1000, "a test")).trials == trials


def test_it_is_planned_with_a_whole_gpu_until_it_has_been_measured() -> None:
    sweep = load("breakout_lr.yaml", overrides=[PROBE], root=ROOT).sweep
    assert make(sweep, Machine.of(16, 4)).resources.gpus == 1


def test_where_there_is_no_gpu_nothing_is_measured() -> None:
    plan = make(load("breakout_lr.yaml", overrides=[PROBE], root=ROOT).sweep, Machine.of(16, 0))
    assert plan.resources.gpus == 0
    assert with_measured_share(plan) is plan


def test_learners_of_their_own_are_not_measured() -> None:
    with pytest.raises(SpecError, match="probe measures a trial that learns in its own process"):
        load("breakout_lr.yaml", overrides=[PROBE, "resources.learners=2"], root=ROOT)


def test_a_word_that_is_none_of_those_that_may_stand_for_a_number() -> None:
    with pytest.raises(SpecError, match="allowed: auto, probe, or a number; did you mean 'probe'"):
        load("breakout_lr.yaml", overrides=["resources.gpus_per_learner=prob"], root=ROOT)
