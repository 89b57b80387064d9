"""The arithmetic of what a plan costs, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlsweep.plan import Machine, make
from rlsweep.plan.estimate import expected_cost, expected_work
from rlsweep.plan.packing import Node
from rlsweep.plan.plan import Plan
from rlsweep.spec import load

ROOT = Path(__file__).parents[2]


def plan(*overrides: str, machine: Machine | None = None) -> Plan:
    base = ["stop.env_steps=8M", "seeds=1", *overrides]
    return make(load("pong_impala.yaml", overrides=base, root=ROOT).sweep, machine or Machine.of(8, 0))


def test_fifo_runs_in_waves() -> None:
    planned = plan("scheduler={type: fifo}", machine=Machine.of(6, 0))
    work = expected_work(planned)
    assert (work.trials, work.env_steps) == (8, 64_000_000)
    cost = expected_cost(planned, work, 1000.0, "measured")
    assert planned.max_concurrent == 3  # 2 CPUs each
    assert cost.wall_seconds == 3 * 8000.0
    assert cost.gpu_hours == 0.0


def test_asha_saves_what_its_rungs_cut() -> None:
    planned = plan("scheduler={type: asha, grace: 2M, reduction_factor: 2}")
    work = expected_work(planned)
    assert work.env_steps == 8 * (2_000_000 + 2_000_000 // 2 + 4_000_000 // 4)
    assert work.most_env_steps == 64_000_000
    cost = expected_cost(planned, work, 1000.0, "measured")
    assert cost.wall_seconds == pytest.approx(work.env_steps / 1000.0 / planned.max_concurrent)


def test_hyperband_fills_its_brackets() -> None:
    # 8 graces, factor 2: the first bracket holds four trials of 8 graces, the second four that begin with 4.
    planned = plan("scheduler={type: hyperband, grace: 1M, reduction_factor: 2}")
    assert expected_work(planned).env_steps == (4 * 8 + 4 * 4 + 2 * 4) * 1_000_000


def test_confirming_trials_are_counted() -> None:
    work = expected_work(plan("scheduler={type: fifo}", "confirm={top: 2, seeds: 5}"))
    assert (work.confirming_trials, work.env_steps) == (10, (8 + 10) * 8_000_000)


def test_a_budget_of_trials_cuts_the_plan() -> None:
    planned = plan("budget.trials=3")
    assert len(planned.trials) == planned.num_trials == 3


def test_gpu_hours_are_shares_times_hours() -> None:
    planned = plan("scheduler={type: fifo}", "resources.gpus_per_learner=0.25", machine=Machine.of(16, 1))
    work = expected_work(planned)
    cost = expected_cost(planned, work, 1000.0, "measured")
    assert planned.max_concurrent == 4
    assert cost.gpu_hours == pytest.approx(8 * 8000 * 0.25 / 3600)


def test_trials_are_packed_on_the_nodes_of_a_cluster() -> None:
    nodes = tuple(Node(name, {"CPU": cpus}) for name, cpus in [("a", 3), ("b", 3), ("c", 1)])
    planned = plan("resources={env_runners: 1, placement: STRICT_PACK}", machine=Machine(nodes))
    assert planned.resources.bundles == [{"CPU": 1}, {"CPU": 1}]
    assert planned.max_concurrent == 2  # 7 CPUs, but one is left over on each of a and b, and c has one
    spread = plan("resources={env_runners: 1, placement: PACK}", machine=Machine(nodes))
    assert spread.max_concurrent == 3


def test_ten_thousand_trials_are_planned() -> None:
    sweep = load("pong_impala.yaml", overrides=["search.trials=5000", "seeds=2"], root=ROOT).sweep
    planned = make(sweep, Machine.of(64, 8))
    assert len(planned.trials) == 10_000
    assert expected_work(planned).trials == 10_000
    assert planned.max_concurrent > 1
