"""Where a trial's bundles may be: accelerators, labels of nodes, resources of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ray._private.label_utils import validate_label_selector

from rlsweep.errors import PreflightError, SpecError
from rlsweep.plan import Machine, Plan, make
from rlsweep.plan.estimate import expected_work
from rlsweep.plan.packing import Node
from rlsweep.plan.summary import Disk, Summary
from rlsweep.plan.trial_resources import ACCELERATOR
from rlsweep.run.placement import group_factory
from rlsweep.spec import ResourceSpec, load

ROOT = Path(__file__).parents[2]
H100, L4 = {ACCELERATOR: "H100", "zone": "x"}, {ACCELERATOR: "L4", "zone": "x"}
CLUSTER = Machine(
    (
        Node("big", {"CPU": 16, "GPU": 4}, H100),
        Node("small", {"CPU": 16, "GPU": 2}, L4),
        Node("cpus", {"CPU": 64, "disk": 2}, {"zone": "y"}),
    )
)


def plan(*overrides: str) -> Plan:
    return make(load("breakout_lr.yaml", overrides=list(overrides), root=ROOT).sweep, CLUSTER)


def test_any_gpu_will_do_unless_a_type_is_named() -> None:
    assert plan("resources={cpus_for_main_process: 1, gpus_per_learner: 1}").max_concurrent == 6
    assert (
        plan("resources={cpus_for_main_process: 1, gpus_per_learner: 1, accelerator: H100}").max_concurrent
        == 4
    )
    assert (
        plan("resources={cpus_for_main_process: 1, gpus_per_learner: 1, accelerator: '!H100'}").max_concurrent
        == 2
    )


def test_auto_shares_the_gpus_of_the_type() -> None:
    assert plan("resources.accelerator=H100").resources.gpus == pytest.approx(4 / 9)
    assert plan("resources.node_labels={zone: y}").resources.gpus == 0


def test_who_names_a_type_that_is_not_there_is_told_which_there_are() -> None:
    with pytest.raises(
        PreflightError, match=r"ray\.io/accelerator-type is H100 on 1, L4 on 1, not set"
    ) as caught:
        plan("resources.accelerator=A100")
    assert caught.value.key == "resources.accelerator"
    assert plan("resources={accelerator: A100, gpus: auto}").resources.gpus == 0
    assert plan("resources={accelerator: A100, gpus_per_learner: 0}").resources.gpus == 0, "--cpu"


def test_env_runners_on_nodes_without_a_gpu() -> None:
    spec = "env_runners: 15, learners: 1, gpus_per_learner: 1, cpus_for_main_process: 1"
    apart = plan(f"resources={{{spec}, env_runner_node_labels: {{ray.io/accelerator-type: '!in(H100,L4)'}}}}")
    assert apart.max_concurrent == 4, "64 CPUs for 15 each"
    placed = apart.resources.place(CLUSTER, 4)
    assert all(set(one.nodes[1:16]) == {"cpus"} and one.nodes[16] in ("big", "small") for one in placed)


def test_labels_count_for_env_runners_too_unless_they_have_their_own() -> None:
    spec = "env_runners: 1, gpus_per_learner: 0, node_labels: {zone: x}"
    assert plan(f"resources={{{spec}}}").resources.label_selectors == [{"zone": "x"}] * 2
    own = plan(f"resources={{{spec}, env_runner_node_labels: {{}}}}").resources.label_selectors
    assert own == [{"zone": "x"}, {}]


def test_resources_of_ones_own() -> None:
    taken = plan("resources={custom_resources: {disk: 0.5}, gpus_per_learner: 0, env_runners: 0}")
    assert taken.max_concurrent == 4
    assert {one.nodes for one in taken.resources.place(CLUSTER, 4)} == {("cpus",)}
    with pytest.raises(PreflightError, match=r"3 disk where 2 is free; .* ray start --resources") as caught:
        plan("resources={custom_resources: {disk: 3}, gpus_per_learner: 0}")
    assert caught.value.key == "resources.custom_resources"


def test_auto_cpus_are_those_of_a_node_with_such_a_gpu() -> None:
    small = Machine((Node("gpus", {"CPU": 4, "GPU": 2}, H100), Node("cpus", {"CPU": 64})))
    sweep = load("breakout_dqn.yaml", overrides=["seeds=1", "resources.accelerator=H100"], root=ROOT).sweep
    assert make(sweep, small).resources.cpus_for_main_process <= 4


def test_domains_of_gpus_hold_all_bundles() -> None:
    domain = Machine((Node("domain", {"CPU": 16, "GPU": 4}, {ACCELERATOR: "GB200"}),))
    override = "resources={accelerator: GB200, env_runners: 2, gpus_per_learner: 1}"
    resources = make(load("breakout_lr.yaml", overrides=[override], root=ROOT).sweep, domain).resources
    assert resources.label_selectors == [{ACCELERATOR: "GB200"}] * 3
    group = group_factory(resources.bundles, resources.placement, resources.label_selectors)
    assert group.bundles == resources.bundles


def test_learners_of_a_trial_have_a_gpu_each() -> None:
    gpus = Machine.of(cpus=32, gpus=8)
    sweep = load("breakout_lr.yaml", overrides=["resources.learners=2"], root=ROOT).sweep
    assert make(sweep, gpus).resources.gpus_per_learner == 1
    half = "resources={learners: 2, gpus_per_learner: 0.5}"
    with pytest.raises(SpecError, match="NCCL does not let two learners of a trial share a GPU"):
        load("breakout_lr.yaml", overrides=[half], root=ROOT)
    apart = "resources={learners: 2, gpus_per_learner: 0.5, placement: STRICT_SPREAD}"
    load("breakout_lr.yaml", overrides=[apart], root=ROOT)


@pytest.mark.parametrize(
    "resources",
    ["gpus_per_learner: 2", "gpus_per_learner: 1, learners: 2, placement: STRICT_PACK"],
)
def test_the_cpu_does_where_no_node_has_as_many_gpus(resources: str) -> None:
    """Though all of them together have."""
    there = Machine(tuple(Node(name, {"CPU": 8, "GPU": 1}) for name in "ab"))
    override = f"resources={{{resources}, gpus: auto}}"
    sweep = load("breakout_lr.yaml", overrides=[override], root=ROOT).sweep
    assert make(sweep, there).resources.gpus == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gpus_per_learner": 1.5}, "a part of one, up to 1, or a whole number"),
        ({"gpus_per_learner": 1e-6}, "at least 0.0001"),
        ({"cpus_per_env_runner": 1e-6}, "at least 0.0001"),
        ({"custom_resources": {"disk": 1e-6}}, "at least 0.0001"),
    ],
)
def test_amounts_that_ray_would_refuse(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ResourceSpec(**given)


@pytest.mark.parametrize("name", ["zone\n", "-a/zone", "a/b/zone", "zone/"])
def test_names_of_labels_that_ray_would_refuse(name: str) -> None:
    with pytest.raises(ValidationError, match="is no name of a label"):
        ResourceSpec(node_labels={name: "x"})
    assert validate_label_selector({name: "x"})


@pytest.mark.parametrize("condition", ["x\n", "-x", "in(a,b", "in()", "a b", "!!x"])
def test_conditions_that_ray_would_refuse(condition: str) -> None:
    with pytest.raises(ValidationError, match="is no condition of a label"):
        ResourceSpec(node_labels={"zone": condition})
    assert validate_label_selector({"zone": condition})


@pytest.mark.parametrize(
    ("name", "condition"),
    [("zone", "eu-1a"), ("ray.io/accelerator-type", "!in(H100, A100)"), ("a.b/c_d", "!x")],
)
def test_labels_that_ray_takes(name: str, condition: str) -> None:
    assert ResourceSpec(node_labels={name: condition}).node_labels == {name: condition}
    assert validate_label_selector({name: condition}) is None


def test_a_plan_says_where() -> None:
    planned = plan("resources={cpus_for_main_process: 1, gpus_per_learner: 1, accelerator: H100}")
    lines = dict(Summary(planned, expected_work(planned), None, Disk(1, 1, None)).lines)
    assert ", 1 GPU, where ray.io/accelerator-type is H100}" in lines["one trial takes"]
