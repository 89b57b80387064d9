"""Placements computed by hand; tests/integration/test_placement.py asks Ray itself."""

from __future__ import annotations

import pytest

from rlsweep.plan.packing import Bundle, Free, Lack, Miss, Node, Placement, nearest_miss, pack, place


def nodes(**resources: dict[str, float]) -> list[Node]:
    return [Node(name, amounts) for name, amounts in resources.items()]


def gpus(*counts: int) -> list[Node]:
    return [Node(name, {"GPU": count}) for name, count in zip("abcdef", counts, strict=False)]


def packed(bundles: list[Bundle], strategy: str, cluster: list[Node]) -> list[str]:
    """Every trial that fits, the nodes of its bundles as one word."""
    return ["".join(placement.nodes) for placement in pack(bundles, strategy, cluster, wanted=50)]


CPU: Bundle = {"CPU": 1}
GPU: Bundle = {"GPU": 1}


# The GCS: a node's score is the sum of the fractions that stay free.


def test_a_trial_goes_where_most_stays_free() -> None:
    # a leaves 7/8, 6/7, 5/6, 4/5 and b 3/4; then both have 4, and of equals the first has it
    assert packed([CPU], "PACK", nodes(b={"CPU": 4}, a={"CPU": 8})) == [*"aaaababababa"]


def test_only_resources_that_are_asked_for_count() -> None:
    assert packed([CPU], "PACK", nodes(a={"CPU": 1, "GPU": 8}, b={"CPU": 2}))[0] == "b"


def test_pack_places_the_scarcest_bundle_first_and_the_others_beside_it() -> None:
    cluster = nodes(a={"CPU": 9}, b={"CPU": 2, "GPU": 1})
    assert packed([CPU, CPU, CPU, GPU], "PACK", cluster) == ["bbab"]


def test_pack_fills_the_best_node_and_takes_the_rest_to_the_next() -> None:
    assert packed([CPU] * 5, "PACK", nodes(a={"CPU": 2}, b={"CPU": 3})) == ["bbbaa"]


def test_pack_lets_small_bundles_pass_a_large_one_that_must_wait() -> None:
    cluster = nodes(a={"CPU": 4}, b={"CPU": 3})
    assert packed([{"CPU": 3}, {"CPU": 2}, CPU], "PACK", cluster) == ["aba"]


def test_spread_uses_a_node_again_only_when_no_other_has_room() -> None:
    assert packed([CPU] * 3, "SPREAD", nodes(a={"CPU": 9}, b={"CPU": 1})) == ["aba", "aaa", "aaa"]


def test_strict_pack_keeps_a_trial_on_one_node() -> None:
    assert packed([CPU] * 3, "STRICT_PACK", nodes(a={"CPU": 5}, b={"CPU": 4})) == ["aaa", "bbb"]


def test_strict_spread_gives_each_bundle_a_node_of_its_own() -> None:
    assert packed([CPU] * 2, "STRICT_SPREAD", nodes(a={"CPU": 5}, b={"CPU": 2})) == ["ab", "ab"]


def test_resources_of_ones_own_are_counted_too() -> None:
    assert packed([{"CPU": 1, "disk": 1}], "PACK", nodes(a={"CPU": 9}, b={"CPU": 9, "disk": 2})) == ["b", "b"]


# The raylets: a GPU is a device.


@pytest.mark.parametrize(
    ("share", "cluster", "count"),
    [
        (0.25, gpus(1), 4),
        (0.6, gpus(1), 1),
        (0.6, gpus(2), 2),
        (0.75, gpus(2, 1), 3),
        (0.4, gpus(2, 2, 1), 10),
        (1, gpus(2, 1), 3),
        (1.5, gpus(2, 2, 1), 2),
        (1 / 6, gpus(1), 6),
    ],
)
def test_trials_share_a_gpu_but_no_trial_has_parts_of_two(
    share: float, cluster: list[Node], count: int
) -> None:
    assert len(pack([{"GPU": share}], "PACK", cluster, wanted=50)) == count


def test_a_part_of_a_gpu_comes_from_the_fullest_one_that_has_it() -> None:
    free = Free(gpus(2))
    assert place([{"GPU": 0.5}], "PACK", free)
    assert place([{"GPU": 0.3}], "PACK", free)
    assert place([GPU], "PACK", free) == Placement(("a",))
    assert place([{"GPU": 0.3}], "PACK", free) is None


def test_a_node_that_refuses_a_trials_first_bundle_is_left_for_another() -> None:
    # a has four times 0.4 left, which scores above b's whole GPU until the GCS believes enough of it taken
    assert packed([{"GPU": 0.6}], "PACK", gpus(4, 1)) == [*"aaaab"]


def test_a_node_that_refuses_a_later_bundle_is_chosen_for_ever() -> None:
    cluster = nodes(a={"CPU": 9, "GPU": 4}, b={"CPU": 9, "GPU": 1})
    assert packed([{"GPU": 0.6}, CPU], "PACK", cluster) == ["aa", "aa", "aa", "aa", "bb"]
    assert packed([CPU, {"GPU": 0.6}], "PACK", cluster) == ["aa", "aa", "aa", "aa"]


def test_a_refused_trial_takes_nothing() -> None:
    free = Free(gpus(1, 1))
    assert place([{"GPU": 0.6}], "PACK", free)
    assert place([GPU, {"GPU": 0.5}], "SPREAD", free) is None
    assert place([GPU], "PACK", free) == Placement(("b",))


def test_a_report_may_lose_a_ten_thousandth() -> None:
    free = Free(gpus(1))
    assert place([{"GPU": 0.43}], "PACK", free)
    assert place([{"GPU": 0.3}, {"GPU": 0.27}], "PACK", free) is None


# pack


def test_pack_stops_at_what_is_wanted() -> None:
    assert len(pack([CPU], "PACK", nodes(a={"CPU": 9}), wanted=4)) == 4
    assert pack([CPU], "PACK", [], wanted=4) == []


def test_nodes_of_one_name_are_several() -> None:
    assert len(pack([CPU] * 2, "STRICT_SPREAD", [Node("host", {"CPU": 1})] * 4, wanted=9)) == 2


def test_ten_thousand_trials_fit_a_hundred_nodes() -> None:
    cluster = [Node(f"node-{number}", {"CPU": 150 + number, "GPU": 60}) for number in range(100)]
    assert len(pack([{"CPU": 1, "GPU": 0.5}], "PACK", cluster, wanted=10_000)) == 10_000


# nearest_miss


def test_nothing_is_missing_where_one_trial_fits() -> None:
    assert nearest_miss([CPU, GPU], "PACK", nodes(a={"CPU": 1}, b={"GPU": 1})) is None


def test_a_bundle_too_large_for_every_node_names_the_one_that_lacks_least() -> None:
    cluster = nodes(a={"CPU": 64}, b={"CPU": 6, "GPU": 1}, c={"CPU": 2, "GPU": 1})
    lacks = (Lack("CPU", wanted=8, there=6),)
    assert nearest_miss([CPU, {"CPU": 8, "GPU": 1}], "STRICT_PACK", cluster) == Miss(1, "b", lacks, "")


def test_every_lacking_resource_is_named() -> None:
    lacks = (Lack("CPU", wanted=8, there=4), Lack("TPU", wanted=1, there=0))
    assert nearest_miss([{"CPU": 8, "TPU": 1}], "PACK", nodes(a={"CPU": 4})) == Miss(0, "a", lacks, "")


@pytest.mark.parametrize("strategy", ["PACK", "SPREAD"])
def test_bundles_that_fit_singly_lack_what_the_others_take(strategy: str) -> None:
    lacks = (Lack("CPU", wanted=2, there=1),)
    assert nearest_miss([{"CPU": 2}] * 3, strategy, nodes(a={"CPU": 3}, b={"CPU": 2})) == Miss(
        2, "a", lacks, ""
    )


def test_parts_of_two_gpus_are_not_one() -> None:
    lacks = (Lack("GPU", wanted=0.5, there=0.25),)
    bundles: list[Bundle] = [{"GPU": 0.75}, {"GPU": 0.75}, {"GPU": 0.5}]
    assert nearest_miss(bundles, "PACK", gpus(2)) == Miss(2, "a", lacks, "")
    reason = "STRICT_PACK puts all 3 bundles on one node"
    assert nearest_miss(bundles, "STRICT_PACK", gpus(2)) == Miss(2, "a", lacks, reason)


def test_strict_pack_lacks_what_all_bundles_take_together() -> None:
    cluster = nodes(a={"CPU": 4, "GPU": 1}, b={"CPU": 6, "GPU": 1})
    lacks = (Lack("CPU", wanted=7, there=6),)
    reason = "STRICT_PACK puts all 4 bundles on one node"
    bundles: list[Bundle] = [{"CPU": 1, "GPU": 1}, *[{"CPU": 2}] * 3]
    assert nearest_miss(bundles, "STRICT_PACK", cluster) == Miss(None, "b", lacks, reason)


def test_strict_spread_lacks_a_node() -> None:
    reason = "STRICT_SPREAD puts each of 3 bundles on a node of its own, of 2 nodes"
    assert nearest_miss([CPU] * 3, "STRICT_SPREAD", nodes(a={"CPU": 9}, b={"CPU": 9})) == Miss(
        2, None, (), reason
    )


def test_strict_spread_looks_only_at_nodes_without_a_bundle() -> None:
    reason = "STRICT_SPREAD puts each of 2 bundles on a node of its own, of 2 nodes"
    lacks = (Lack("GPU", wanted=1, there=0),)
    cluster = nodes(a={"CPU": 9, "GPU": 2}, b={"CPU": 9})
    assert nearest_miss([GPU, GPU], "STRICT_SPREAD", cluster) == Miss(1, "b", lacks, reason)


def test_a_cluster_without_nodes_has_none_that_comes_near() -> None:
    assert nearest_miss([CPU], "PACK", []) == Miss(0, None, (), "")


# Labels


LABELLED = [
    Node("a", {"CPU": 4, "GPU": 2}, {"gpu": "H100", "zone": "x"}),
    Node("b", {"CPU": 4, "GPU": 2}, {"gpu": "L4", "zone": "y"}),
    Node("c", {"CPU": 4}, {"zone": "y"}),
    Node("d", {"CPU": 2}),
]


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ({}, "abcd"),
        ({"gpu": "H100"}, "a"),
        ({"gpu": "!H100"}, "bcd"),
        ({"gpu": "in(H100, L4)"}, "ab"),
        ({"gpu": "!in(H100,L4)"}, "cd"),
        ({"zone": "y", "gpu": "!L4"}, "c"),
        ({"zone": "in(z)"}, ""),
    ],
)
def test_a_bundle_goes_to_nodes_of_its_labels(selector: dict[str, str], allowed: str) -> None:
    placed = pack([CPU], "PACK", LABELLED, 50, [selector])
    assert sorted({placement.nodes[0] for placement in placed}) == list(allowed)


def test_learners_on_one_kind_of_nodes_and_env_runners_on_another() -> None:
    selectors = [{"gpu": "L4"}, {"gpu": "!in(H100,L4)"}, {"gpu": "!in(H100,L4)"}]
    placed = pack([{"CPU": 1, "GPU": 1}, CPU, CPU], "PACK", LABELLED, 50, selectors)
    assert ["".join(one.nodes) for one in placed] == ["bcc", "bcc"]


def test_strict_pack_asks_one_node_for_all_labels() -> None:
    assert pack([CPU] * 2, "STRICT_PACK", LABELLED, 1, [{"gpu": "L4"}, {"zone": "y"}])[0].nodes == ("b", "b")
    assert pack([CPU] * 2, "STRICT_PACK", LABELLED, 1, [{"gpu": "H100"}, {"zone": "y"}]) == []


def test_labels_that_no_node_has_are_named_with_those_there_are() -> None:
    reason = "no node has the labels {gpu: A100}: gpu is H100 on 1, L4 on 1, not set on 2 of 4 nodes"
    assert nearest_miss([CPU, GPU], "PACK", LABELLED, [{}, {"gpu": "A100"}]) == Miss(
        1, None, (), reason, lacks_labels=True
    )


def test_among_nodes_of_its_labels_a_bundle_lacks_resources() -> None:
    lacks = (Lack("GPU", wanted=4, there=2),)
    assert nearest_miss([{"GPU": 4}], "PACK", LABELLED, [{"gpu": "L4"}]) == Miss(0, "b", lacks, "")
