"""Searches: conditions, groups, first points, reproducibility, and what they learn from."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rlsweep.plan.coordinates import decode, encode
from rlsweep.plan.search import Outcome, Search, configurations
from rlsweep.plan.space import Space, Values
from rlsweep.spec import Distribution, Sweep

LISTED = ["random", "sobol"]
LEARNING = ["tpe", "cmaes", "gp", "nsga2"]
LOG_LR = {"distribution": "log_uniform", "min": 1e-5, "max": 1e-1}
KL = {
    "training.use_kl_loss": {"values": [True, False]},
    "training.kl_coeff": {"min": 0.1, "max": 1.0, "when": {"training.use_kl_loss": True}},
    "training.kl_target": {"values": [0.01, 0.02], "when": {"training.kl_coeff": [0.1, 1.0]}},
}


def sweep(parameters: dict[str, Any], **search: Any) -> Sweep:
    return Sweep.parse(
        {
            "version": 1,
            "name": "t",
            "algorithm": "ppo",
            "env": {"id": "CartPole-v1"},
            "training": {"lr": 3e-4, "num_epochs": 4, "use_kl_loss": False},
            "network": {"name": "mlp", "fcnet_hiddens": [64, 64]},
            "objective": search.pop("objective", {"goal": "maximize"}),
            "stop": {"env_steps": 1000},
            "search": {"parameters": parameters, **search},
        }
    )


def proposals(spec: Sweep, value: Callable[[Values], float], count: int) -> list[Values]:
    """Configurations that a search proposes when it is told `value` of each before the next."""
    if spec.search.is_listed:
        return configurations(spec)
    search, found = Search(spec), []
    for _ in range(count):
        values = search.ask()
        assert values is not None
        found.append(values)
        search.tell(values, "complete", [value(values)] * len(spec.objective))
    return found


@pytest.mark.parametrize("method", ["grid", *LISTED, *LEARNING])
def test_a_conditional_parameter_is_absent_where_its_condition_does_not_hold(method: str) -> None:
    parameters = dict(KL)
    del parameters["training.kl_target"]
    if method == "grid":
        parameters["training.kl_coeff"] = {**KL["training.kl_coeff"], "step": 0.3}
        spec = sweep(parameters, method="grid")
    else:
        spec = sweep(parameters, method=method, trials=20)
    found = proposals(spec, lambda values: values.get("training.kl_coeff", 0.0), 20)
    with_kl = [values for values in found if values["training.use_kl_loss"]]
    assert with_kl
    assert len(with_kl) < len(found)
    assert all(("training.kl_coeff" in values) == values["training.use_kl_loss"] for values in found)


def test_a_grid_counts_each_conditional_configuration_once() -> None:
    spec = sweep(
        {
            "training.use_kl_loss": {"values": [True, False]},
            "training.kl_coeff": {"values": [0.1, 1.0], "when": {"training.use_kl_loss": True}},
            "training.kl_target": {"values": [0.01, 0.02], "when": {"training.kl_coeff": 1.0}},
        },
        method="grid",
    )
    assert [tuple(values.values()) for values in configurations(spec)] == [
        (True, 0.1),
        (True, 1.0, 0.01),
        (True, 1.0, 0.02),
        (False,),
    ]


@pytest.mark.parametrize(
    ("range_", "values"),
    [
        ({"min": 2, "max": 10, "step": 4}, [2, 6, 10]),
        ({"min": 5, "max": 8}, [5, 6, 7, 8]),
        ({"min": -2, "max": 1}, [-2, -1, 0, 1]),
        ({"min": 0.1, "max": 1.0, "step": 0.3}, [0.1, 0.4, 0.7, 1.0]),
        ({"min": 0.0, "max": 1.0, "step": 0.3}, [0.0, 0.3, 0.6, 0.9]),
        ({"values": [3, 1, 2]}, [3, 1, 2]),
        ({"value": 7}, [7]),
        ({"min": 1, "max": 4, "distribution": "log_int_uniform"}, [1, 2, 3, 4]),
        ({"min": 1e-13, "max": 4e-13, "step": 1e-13}, [1e-13, 2e-13, 3e-13, 4e-13]),
        ({"min": 0.25, "max": 1.0, "step": 0.5, "distribution": "log_uniform"}, [0.5, 1.0]),
    ],
)
def test_a_grid_lists_the_values_of_a_range(range_: dict[str, Any], values: list[float]) -> None:
    found = configurations(sweep({"training.gamma": range_}, method="grid"))
    assert [configuration["training.gamma"] for configuration in found] == values


def test_a_condition_may_name_a_value_that_is_not_swept() -> None:
    parameters = {"training.kl_coeff": {"values": [0.1, 1.0], "when": {"training.use_kl_loss": True}}}
    assert configurations(sweep(parameters, method="grid")) == [{}]
    on = {"training.kl_coeff": {"values": [0.1, 1.0], "when": {"training.use_critic": True}}}
    assert len(configurations(sweep(on, method="grid"))) == 2  # RLlib's default is true


def test_zipped_parameters_move_together() -> None:
    parameters = {
        "training.num_epochs": {"values": [2, 4, 8], "zip": "training.minibatch_size"},
        "training.minibatch_size": {"values": [64, 128, 256]},
        "training.gamma": {"values": [0.9, 0.99]},
    }
    found = configurations(sweep(parameters, method="grid"))
    assert len(found) == 6
    pairs = {(values["training.num_epochs"], values["training.minibatch_size"]) for values in found}
    assert pairs == {(2, 64), (4, 128), (8, 256)}
    assert list(found[0]) == list(parameters), "in the order of the spec"
    drawn = configurations(sweep(parameters, method="random", trials=6))
    assert {(v["training.num_epochs"], v["training.minibatch_size"]) for v in drawn} <= pairs


@pytest.mark.parametrize("method", LISTED + LEARNING)
def test_the_same_seed_gives_the_same_configurations(method: str) -> None:
    objective = [{"goal": "maximize"}, {"metric": "auc", "goal": "maximize"}] if method == "nsga2" else None
    extra = {"objective": objective} if objective else {}
    spec = sweep({"training.lr": LOG_LR, **KL}, method=method, trials=16, seed=5, **extra)
    other = sweep({"training.lr": LOG_LR, **KL}, method=method, trials=16, seed=6, **extra)

    def value(values: Values) -> float:
        return -abs(math.log10(values["training.lr"]) + 3)

    first = proposals(spec, value, 16)
    assert proposals(spec, value, 16) == first
    assert proposals(other, value, 16) != first
    assert len({json.dumps(values) for values in first}) == 16


def test_the_specs_own_values_come_first_where_they_lie_in_the_ranges() -> None:
    parameters = {"training.lr": LOG_LR, "network.fcnet_hiddens": {"values": [[32], [64, 64]]}}
    own = {"training.lr": 3e-4, "network.fcnet_hiddens": [64, 64]}
    points = [{"training.lr": 0.01, "network.fcnet_hiddens": [32]}, {"training.lr": 0.02}]
    for method in LISTED + LEARNING:
        spec = sweep(parameters, method=method, trials=4, points=points)
        found = proposals(spec, lambda _: 0.0, 4)
        assert found[:2] == [own, points[0]], method
        assert found[2]["training.lr"] == 0.02, method
        without = sweep(parameters, method=method, trials=4, try_defaults=False)
        assert proposals(without, lambda _: 0.0, 4)[0] != own
    kinds = {
        "network.name": {"values": ["mlp", "impala_resnet"]},
        "network.channels": {"values": [[8], [16]], "when": {"network.name": "impala_resnet"}},
    }
    assert configurations(sweep(kinds, trials=3))[0] == {"network.name": "mlp"}, "it has no channels"
    narrow = {"training.lr": {"min": 0.01, "max": 0.1}}
    assert configurations(sweep(narrow, trials=1))[0]["training.lr"] != 3e-4


@pytest.mark.parametrize(("method", "decades"), [("tpe", 0.7), ("cmaes", 0.2), ("gp", 0.1), ("nsga2", 0.95)])
def test_a_search_closes_in_on_the_best_learning_rate(method: str, decades: float) -> None:
    """The range is four decades wide, the best in its middle: random draws are one decade off, on average."""

    def distance(values: Values) -> float:
        return abs(math.log10(values["training.lr"]) + 3)

    late = []
    for seed in range(3):
        spec = sweep({"training.lr": LOG_LR}, method=method, trials=40, seed=seed, try_defaults=False)
        late += [distance(values) for values in proposals(spec, lambda v: -distance(v), 40)[-12:]]
    assert statistics.median(late) < decades


def test_optuna_is_told_how_a_configuration_ended() -> None:
    search = Search(sweep({"training.lr": LOG_LR}, method="tpe", trials=9, seed=2))
    outcomes: list[Outcome] = ["complete", "pruned", "failed"]
    for outcome in outcomes:
        values = search.ask()
        assert values is not None
        search.tell(values, outcome, [3.0] if outcome != "failed" else [], env_steps=500)
    complete, pruned, failed = search._study.trials
    assert (complete.state.name, complete.value) == ("COMPLETE", 3.0)
    assert (pruned.state.name, pruned.value, pruned.intermediate_values) == ("PRUNED", 3.0, {500: 3.0})
    assert (failed.state.name, failed.value) == ("FAIL", None)


def test_a_replayed_search_goes_on_where_it_was() -> None:
    spec = sweep({"training.lr": LOG_LR}, method="tpe", trials=30, seed=2)
    known = proposals(spec, lambda values: -abs(math.log10(values["training.lr"]) + 3), 20)
    search = Search(spec)
    for values in known:
        assert search.replay(values)
        search.tell(values, "complete", [-abs(math.log10(values["training.lr"]) + 3)])
    following = [search.ask() for _ in range(5)]
    assert all(values not in known for values in following)
    assert not search.replay({"training.lr": 7.0}), "outside of the range"
    assert not search.replay({"training.gamma": 0.9})


def test_a_choice_written_another_way_is_the_same_choice() -> None:
    search = Search(sweep({"training.num_epochs": {"values": [1.0, 2.0]}}, method="tpe", trials=3))
    assert search.replay({"training.num_epochs": 1})
    search.tell({"training.num_epochs": 1}, "complete", [1.0])


@pytest.mark.parametrize("method", ["tpe", "gp", "nsga2"])
def test_a_finite_space_is_used_up_and_then_ends(method: str) -> None:
    axes = {f"training.{name}": {"values": [1, 2, 3, 4]} for name in ("num_epochs", "minibatch_size")}
    search = Search(sweep(axes, method=method, trials=99))
    found = []
    while (values := search.ask()) is not None:
        found.append(tuple(values.values()))
        search.tell(values, "complete", [float(values["training.num_epochs"])])
    assert len(found) == len(set(found)) == 16


def test_listed_draws_fill_a_finite_space() -> None:
    axes = {f"training.{name}": {"values": [1, 2, 3, 4]} for name in ("num_epochs", "minibatch_size")}
    assert len(configurations(sweep(axes, method="random", trials=16))) == 16
    assert len(configurations(sweep(axes, method="random", trials=10_000))) == 16


def test_points_are_tried_to_the_last_digit() -> None:
    point = {"training.lr": 2.51234567e-4}
    for method in ("random", "tpe"):
        spec = sweep({"training.lr": LOG_LR}, method=method, trials=3, points=[point], try_defaults=False)
        assert proposals(spec, lambda _: 0.0, 3)[0] == point


def test_equal_values_are_one_configuration() -> None:
    ranges = {"training.num_epochs": {"min": 5, "max": 7}}
    for method in ("random", "tpe"):
        spec = sweep(
            ranges, method=method, trials=3, points=[{"training.num_epochs": 6.0}], try_defaults=False
        )
        found = [values["training.num_epochs"] for values in proposals(spec, lambda _: 0.0, 3)]
        assert sorted(found) == [5, 6, 7]
        assert all(isinstance(value, int) for value in found)


def test_quantized_draws_stay_on_their_steps() -> None:
    ranges = {
        "training.gamma": {"min": 0.0, "max": 11.0, "step": 3},
        "training.minibatch_size": {"min": 1, "max": 200, "step": 64, "distribution": "log_int_uniform"},
        "training.lr": {"min": 1e-5, "max": 1e-3, "step": 1e-4, "distribution": "log_uniform"},
    }
    found = configurations(sweep(ranges, method="random", trials=200, try_defaults=False))
    gammas = [values["training.gamma"] for values in found]
    assert {(type(gamma), gamma) for gamma in gammas} == {(float, gamma) for gamma in (0.0, 3.0, 6.0, 9.0)}
    assert {values["training.minibatch_size"] for values in found} == {64, 128, 192}
    assert min(values["training.lr"] for values in found) == 1e-4


@pytest.mark.parametrize(
    ("range_", "check"),
    [
        ({"min": 0.0, "max": 1.0, "step": 0.25}, lambda v: v in (0.0, 0.25, 0.5, 0.75, 1.0)),
        ({"min": 2, "max": 10, "step": 4}, lambda v: v in (2, 6, 10) and isinstance(v, int)),
        ({"min": 1, "max": 1024, "distribution": "log_int_uniform"}, lambda v: isinstance(v, int)),
        (
            {"min": 64, "max": 4096, "step": 64, "distribution": "log_int_uniform"},
            lambda v: v % 64 == 0 and 64 <= v <= 4096,
        ),
        ({"min": 1e-3, "max": 1.0, "step": 1e-3, "distribution": "log_uniform"}, lambda v: 1e-3 <= v <= 1),
        ({"mu": 0.5, "sigma": 0.1, "min": 0.4}, lambda v: v >= 0.4),
        ({"mu": -7, "sigma": 1, "distribution": "log_normal"}, lambda v: v > 0),
        ({"mu": 10, "sigma": 5, "step": 5}, lambda v: v % 5 == 0),
        ({"value": {"linear": [1e-3, 0]}}, lambda v: v == {"linear": [1e-3, 0]}),
    ],
)
def test_what_distributions_give(range_: dict[str, Any], check: Callable[[Any], bool]) -> None:
    spec = sweep({"training.lr": range_}, method="random", trials=50, try_defaults=False)
    found = [values["training.lr"] for values in configurations(spec)]
    assert all(check(value) for value in found), found
    distribution = Distribution.model_validate(range_)
    assert all(decode(distribution, encode(distribution, value)) == value for value in found)


def test_normal_draws_have_their_moments() -> None:
    parameters = {
        "training.gamma": {"mu": 5.0, "sigma": 2.0},
        "training.lr": {"mu": -7.0, "sigma": 0.5, "distribution": "log_normal"},
    }
    found = configurations(sweep(parameters, method="random", trials=2000, try_defaults=False))
    gammas = np.array([values["training.gamma"] for values in found])
    logs = np.log([values["training.lr"] for values in found])
    assert (gammas.mean(), gammas.std()) == pytest.approx((5.0, 2.0), rel=0.1)
    assert (logs.mean(), logs.std()) == pytest.approx((-7.0, 0.5), rel=0.1)


def test_a_sobol_sequence_covers_the_space_more_evenly_than_random_draws() -> None:
    def largest_gap(method: str) -> float:
        parameters = {"training.gamma": {"min": 0.0, "max": 1.0}}
        spec = sweep(parameters, method=method, trials=64, seed=3, try_defaults=False)
        values = sorted(found["training.gamma"] for found in configurations(spec))
        return max(np.diff([0.0, *values, 1.0]))

    assert largest_gap("sobol") < 2.5 / 64 < largest_gap("random")


def test_a_space_knows_its_configurations() -> None:
    space = Space(sweep(KL, method="random", trials=3))
    assert space.holds({"training.use_kl_loss": False})
    assert not space.holds({"training.use_kl_loss": False, "training.kl_coeff": 0.5})
    assert not space.holds({"training.use_kl_loss": True})
