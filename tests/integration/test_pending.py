"""What trials wait for is said when others hold what they need, and not when they fill the machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
import ray
from ray.tune.experiment import Trial
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from waiting import wait_until

from rlsweep.plan import Machine, Plan, make
from rlsweep.run import pending
from rlsweep.run.nodes import Capacity
from rlsweep.run.pending import PendingTrials, waiting_for
from rlsweep.spec import Sweep

TRIALS = [SimpleNamespace(status=Trial.PENDING)]


@pytest.fixture
def plan(machine: Machine, cartpole: Sweep) -> Plan:
    """One of two trials of a CPU each."""
    planned = make(cartpole, machine)
    assert planned.resources.bundles == [{"CPU": 1}]
    return planned


@pytest.fixture
def groups() -> Iterator[list[PlacementGroup]]:
    made: list[PlacementGroup] = []
    yield made
    for group in made:
        remove_placement_group(group)
    wait_until(lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"])


def looked(plan: Plan, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> str:
    """What is said after one look."""
    monkeypatch.setattr(pending, "SECONDS_BETWEEN_LOOKS", 0.0)
    caplog.clear()
    PendingTrials(plan, Capacity(plan)).on_step_begin(1, TRIALS)
    return caplog.text


def test_others_hold_what_trials_need(
    plan: Plan,
    groups: list[PlacementGroup],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cpus = plan.machine.cpus
    groups.append(placement_group([{"CPU": cpus}]))
    assert groups[0].wait(300)
    assert looked(plan, monkeypatch, caplog) == ""
    groups.append(placement_group([{"CPU": 1}]))
    wait_until(lambda: ray.available_resources().get("CPU", 0) == 0)
    said = looked(plan, monkeypatch, caplog)
    assert f"trials wait: one takes 1 CPU (PACK); free on all nodes together are 0 of {cpus} CPU" in said


def test_labels_are_said_too(plan: Plan) -> None:
    labelled = replace(plan.resources, node_labels=(("zone", "!in(a,b)"),))
    assert "(PACK), where zone is !in(a,b); free on all nodes, whatever their labels," in waiting_for(
        labelled
    )


def test_trials_that_fill_the_machine_are_waited_for_without_a_word(
    plan: Plan,
    groups: list[PlacementGroup],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    groups += [placement_group([{"CPU": 1}]) for _ in range(plan.machine.cpus + 1)]
    assert all(group.wait(300) for group in groups[:-1])
    assert looked(plan, monkeypatch, caplog) == ""
