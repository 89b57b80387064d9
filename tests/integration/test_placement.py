"""What `pack` foresees is what Ray reserves, on a cluster of three unequal nodes on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util.placement_group import (
    PlacementGroup,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from rlsweep.plan.packing import Bundle, LabelSelector, Node, pack
from rlsweep.plan.trial_resources import ACCELERATOR
from rlsweep.rl.gpu_share import assigned_gpus
from rlsweep.run.placement import group_factory

NODES = [
    Node("a", {"CPU": 8, "GPU": 3}, {ACCELERATOR: "H100", "zone": "x"}),
    Node("b", {"CPU": 6, "GPU": 2, "disk": 2}, {ACCELERATOR: "L4", "zone": "y"}),
    Node("c", {"CPU": 3, "GPU": 1, "disk": 3}, {"zone": "y"}),
]
TOTAL = {"CPU": 17, "GPU": 6, "disk": 5}
FITS_WITHIN = 30.0
"""Seconds in which Ray reserves a group, one for each attempt that a raylet refuses."""
WAITS_LONGER_THAN = 2.0
"""Seconds after which a group counts as one that does not fit."""
REPORTED_WITHIN = 0.25
"""Seconds in which the GCS hears what a raylet has reserved."""


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, str]]:
    """A running cluster: the name of each of its nodes, by Ray's id."""
    cluster = Cluster()
    try:
        names = {add(cluster, node): node.name for node in NODES}
        ray.init(address=cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        yield names
    finally:
        ray.shutdown()
        cluster.shutdown()


def add(cluster: Cluster, node: Node) -> str:
    own = {kind: amount for kind, amount in node.resources.items() if kind not in ("CPU", "GPU")}
    started = cluster.add_node(
        num_cpus=node.resources["CPU"],
        num_gpus=node.resources["GPU"],
        resources=own,
        labels=dict(node.labels),
        object_store_memory=80 * 2**20,
        include_dashboard=False,
    )
    return str(started.node_id)


def reserve(
    bundles: list[Bundle],
    strategy: str,
    names: dict[str, str],
    expected: int,
    selectors: Sequence[LabelSelector] = (),
) -> list[str]:
    """The nodes that Ray gives to as many groups as it can hold, one word for each group."""
    groups: list[PlacementGroup] = []
    found: list[str] = []
    while len(found) == len(groups):
        group = group_factory(bundles, strategy, selectors).to_placement_group()
        groups.append(group)
        if group.wait(FITS_WITHIN if len(found) < expected else WAITS_LONGER_THAN):
            nodes = placement_group_table(group)["bundles_to_node_id"]
            found.append("".join(names[nodes[index]] for index in range(len(bundles))))
        time.sleep(REPORTED_WITHIN)
    for group in reversed(groups):  # the one that waits first, lest it takes what the others return
        remove_placement_group(group)
    until_all_is_free()
    return found


def until_all_is_free() -> None:
    deadline = time.monotonic() + 300
    while any(ray.available_resources().get(kind) != total for kind, total in TOTAL.items()):
        assert time.monotonic() < deadline, "a removed group is still reserved"
        time.sleep(REPORTED_WITHIN)


def foreseen(
    bundles: list[Bundle], strategy: str, nodes: list[Node], selectors: Sequence[LabelSelector] = ()
) -> list[str]:
    placements = pack(bundles, strategy, nodes, 50, selectors)
    return ["".join(placement.nodes) for placement in placements]


MAIN: Bundle = {"CPU": 1, "GPU": 0.25}
RUNNER: Bundle = {"CPU": 1}
LEARNER: Bundle = {"GPU": 0.6}
PART: Bundle = {"CPU": 0.7}
"""With which two nodes never have equally much left."""


@pytest.mark.parametrize(
    ("strategy", "bundles"),
    [
        ("PACK", [MAIN, RUNNER, RUNNER]),
        ("SPREAD", [MAIN, RUNNER, RUNNER]),
        ("STRICT_PACK", [MAIN, RUNNER, RUNNER]),
        ("STRICT_SPREAD", [{"CPU": 2, "GPU": 0.5}, {"CPU": 0.5, "disk": 1}]),
        ("PACK", [LEARNER, RUNNER]),  # a raylet that refuses the first bundle is left for another
        ("PACK", [RUNNER, LEARNER]),  # one that refuses a later bundle is not
        ("PACK", [{"GPU": 1.5}, RUNNER]),
        ("PACK", [{"GPU": 4}]),
    ],
)
def test_ray_reserves_what_pack_foresees(strategy: str, bundles: list[Bundle], names: dict[str, str]) -> None:
    expected = foreseen(bundles, strategy, NODES)
    assert expected == foreseen(bundles, strategy, NODES[::-1]), "nodes of equal score: Ray takes any"
    assert reserve(bundles, strategy, names, len(expected)) == expected


@pytest.mark.parametrize(
    ("strategy", "bundles", "selectors"),
    [
        ("PACK", [MAIN, RUNNER, RUNNER], [{ACCELERATOR: "H100"}, {"zone": "y"}, {"zone": "y"}]),
        ("PACK", [PART], [{ACCELERATOR: "!H100"}]),
        ("SPREAD", [PART, PART], [{ACCELERATOR: "!in(H100,T4)"}] * 2),
        ("STRICT_PACK", [PART, PART], [{"zone": "y"}, {ACCELERATOR: "in(L4,T4)"}]),
        ("STRICT_PACK", [PART, PART], [{"zone": "x"}, {ACCELERATOR: "L4"}]),
        ("STRICT_SPREAD", [PART, PART], [{"zone": "y"}, {}]),
    ],
)
def test_ray_looks_at_labels_as_pack_does(
    strategy: str, bundles: list[Bundle], selectors: list[LabelSelector], names: dict[str, str]
) -> None:
    expected = foreseen(bundles, strategy, NODES, selectors)
    assert expected == foreseen(bundles, strategy, NODES[::-1], selectors), "of equal score: Ray takes any"
    assert reserve(bundles, strategy, names, len(expected), selectors) == expected


@pytest.mark.usefixtures("names")
def test_a_process_knows_its_part_of_a_gpu() -> None:
    class Asker:  # in here, for workers do not find the modules of tests
        def gpus(self) -> float:
            return assigned_gpus()

    group = group_factory([MAIN, {"GPU": 2}], "PACK", []).to_placement_group()
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
    asker = ray.remote(Asker)
    part = asker.options(num_cpus=1, num_gpus=0.25, scheduling_strategy=strategy).remote()
    assert ray.get(part.gpus.remote()) == 0.25
    assert ray.get(asker.options(num_gpus=2).remote().gpus.remote()) == 2
    assert ray.get(asker.options(num_cpus=1).remote().gpus.remote()) == 0
    assert assigned_gpus() == 0
