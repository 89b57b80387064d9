from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlsweep.errors import PreflightError, SpecError
from rlsweep.plan import Machine, Plan, make
from rlsweep.plan.estimate import expected_work
from rlsweep.plan.search import configurations
from rlsweep.plan.summary import Disk, Summary
from rlsweep.spec import Sweep, load

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
SWEEPS = ROOT / "sweeps"
SHIPPED = sorted(
    str(path.relative_to(SWEEPS)) for path in SWEEPS.rglob("*.yaml") if path.parent.name != "base"
)
WORKSTATION = Machine.of(cpus=16, gpus=1)


def test_all_shipped_specs_are_here() -> None:
    assert SHIPPED == [
        "breakout_curriculum.yaml",
        "breakout_dqn.yaml",
        "breakout_lr.yaml",
        "breakout_ppo_reference.yaml",
        "cartpole/asha.yaml",
        "cartpole/cmaes.yaml",
        "cartpole/gp.yaml",
        "cartpole/grid.yaml",
        "cartpole/hyperband.yaml",
        "cartpole/median.yaml",
        "cartpole/nsga2.yaml",
        "cartpole/pb2.yaml",
        "cartpole/pbt.yaml",
        "cartpole/random.yaml",
        "cartpole/sobol.yaml",
        "cartpole/tpe.yaml",
        "cartpole_curriculum.yaml",
        "cartpole_ppo.yaml",
        "impala_cartpole.yaml",
        "pong_impala.yaml",
    ]


@pytest.mark.parametrize(
    ("spec", "profile"),
    [
        (spec, profile)
        for spec in SHIPPED
        for profile in ((None,) if spec.startswith("cartpole/") else (None, "smoke"))
    ],
)
def test_the_plan_of_a_shipped_spec_is_the_golden_one(spec: str, profile: str | None) -> None:
    """RLSWEEP_UPDATE_GOLDEN=1 writes the files anew; read the difference before committing it."""
    sweep = load(spec, profile=profile, root=ROOT).sweep
    found = describe(make(sweep, WORKSTATION))
    path = GOLDEN / f"{sweep.name}{'.' + profile if profile else ''}.json"
    if os.environ.get("RLSWEEP_UPDATE_GOLDEN"):
        path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    assert path.is_file(), f"{path} is missing"
    assert found == json.loads(path.read_text("utf-8"))


def describe(plan: Plan) -> dict[str, Any]:
    """What `rlsweep plan --json` says, as far as it does not depend on where it is said."""
    summary = Summary(plan, expected_work(plan), None, Disk(0, 0, 0)).to_json()
    return {key: value for key, value in summary.items() if key not in ("cost", "disk", "nodes")}


def search(**arguments: object) -> Sweep:
    return Sweep.parse(
        {
            "version": 1,
            "name": "t",
            "algorithm": "ppo",
            "env": {"id": "CartPole-v1"},
            "network": {"name": "mlp"},
            "objective": {"goal": "maximize"},
            "stop": {"env_steps": 1000},
            "search": arguments,
        }
    )


def test_a_grid_is_every_combination_in_the_order_written() -> None:
    parameters = {"training.a": {"values": [1, 2]}, "training.b": {"values": ["x", "y"]}}
    found = configurations(search(method="grid", parameters=parameters))
    assert [tuple(values.values()) for values in found] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


def test_more_trials_add_to_the_same_draws() -> None:
    parameters = {
        "training.lr": {"distribution": "log_uniform", "min": 1e-5, "max": 1e-3},
        "training.n": {"min": 2, "max": 9},
    }
    few = configurations(search(trials=5, seed=3, parameters=parameters))
    many = configurations(search(trials=50, seed=3, parameters=parameters))
    assert many[:5] == few
    assert configurations(search(trials=5, seed=4, parameters=parameters)) != few
    lrs = np.array([values["training.lr"] for values in many])
    assert lrs.min() >= 1e-5
    assert lrs.max() <= 1e-3
    assert 0.2 < np.mean(lrs < 1e-4) < 0.8  # half of a log-uniform range lies below its geometric middle
    assert {values["training.n"] for values in many} == set(range(2, 10))


def test_draws_are_distinct_and_a_small_space_ends() -> None:
    found = configurations(search(trials=10, parameters={"training.a": {"values": [1, 2, 3]}}))
    assert sorted(values["training.a"] for values in found) == [1, 2, 3]


def test_different_values_have_different_names_and_equal_ones_none_twice() -> None:
    values = "[0.9999, 0.99991, 0.99999, 1.0]"
    override = "search.parameters={training.gamma: {values: " + values + "}}"
    plan = make(load("breakout_lr.yaml", overrides=[override], root=ROOT).sweep, WORKSTATION)
    assert len({trial.config_id for trial in plan.trials}) == 3 * 4
    narrow = {"distribution": "log_uniform", "min": 1e-4, "max": 1.5e-4}
    drawn = configurations(search(trials=64, parameters={"training.lr": narrow}))
    assert len({f"{values['training.lr']:.4g}" for values in drawn}) == len(drawn), "the name is the value"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "search.parameters={env.grayscale: {values: [false]}, env.frame_stack_by: {values: [connector]}}",
            "grayscale=False,frame_stack_by=connector: env: frame_stack_by: connector stacks grayscale",
        ),
    ],
)
def test_combinations_that_cannot_be_are_found_while_planning(override: str, said: str) -> None:
    sweep = load("breakout_lr.yaml", overrides=[override], root=ROOT).sweep
    with pytest.raises(SpecError) as caught:
        make(sweep, WORKSTATION)
    assert said in str(caught.value)


def test_dqn_does_not_take_frames_stacked_by_a_connector() -> None:
    with pytest.raises(SpecError, match="unstacked"):
        load("breakout_dqn.yaml", overrides=["env.frame_stack_by=connector"], root=ROOT)


def test_ids_depend_on_the_content_alone() -> None:
    sweep = load("breakout_lr.yaml", root=ROOT).sweep
    wider = load("breakout_lr.yaml", overrides=["seeds=5", "stop.env_steps=1M"], root=ROOT).sweep
    few, more = make(sweep, WORKSTATION), make(wider, Machine.of(2, 0))
    assert {trial.id for trial in few.trials} < {trial.id for trial in more.trials}
    assert len({trial.id for trial in more.trials}) == len(more.trials) == 15


@pytest.mark.parametrize(
    ("spec", "overrides", "machine", "bundles"),
    [
        ("breakout_lr.yaml", [], Machine.of(2, 0), [{"CPU": 1}]),
        (
            "breakout_lr.yaml",
            ["seeds=1", "search.parameters={training.lr: {values: [1e-3]}}"],
            Machine.of(2, 0),
            [{"CPU": 1}, {"CPU": 0.5}, {"CPU": 0.5}],
        ),
        ("breakout_lr.yaml", ["resources.env_runners=3"], Machine.of(4, 0), [{"CPU": 1}] + [{"CPU": 1}] * 3),
        (
            "breakout_lr.yaml",
            ["resources.gpus_per_learner=0.25"],
            Machine.of(2, 1),
            [{"CPU": 1, "GPU": 0.25}],
        ),
        ("breakout_lr.yaml", [], Machine.of(32, 8), [{"CPU": 1, "GPU": 8 / 9}, {"CPU": 1}, {"CPU": 1}]),
        ("breakout_lr.yaml", [], Machine.of(8, 1), [{"CPU": 1, "GPU": 0.25}]),
        ("breakout_lr.yaml", ["resources={gpus_per_learner: 1, gpus: auto}"], Machine.of(2, 0), [{"CPU": 1}]),
        (
            "breakout_lr.yaml",
            ["resources={learners: 2, gpus_per_learner: 1}"],
            Machine.of(4, 2),
            [{"CPU": 1}, {"GPU": 1}, {"GPU": 1}],
        ),
        ("pong_impala.yaml", [], Machine.of(2, 0), [{"CPU": 1}, {"CPU": 1}]),
    ],
)
def test_resources_of_a_trial(
    spec: str, overrides: list[str], machine: Machine, bundles: list[dict[str, float]]
) -> None:
    sweep = load(spec, overrides=overrides, root=ROOT).sweep
    assert make(sweep, machine).trials[0].resources.bundles == bundles


@pytest.mark.parametrize(
    ("override", "cpus", "env_runners", "games", "reserved"),
    [
        ("resources.envs_per_env_runner=16", 8, 4, 4, (1, 1.75)),  # four games in each at least
        ("resources.envs_per_env_runner=24", 4, 4, 6, (1, 0.75)),
        ("resources.envs_per_env_runner=24", 3, 3, 8, (1, 0.6666)),
        ("resources.envs_per_env_runner=7", 4, 0, 7, (4, 1)),  # not to be divided evenly
        ("resources.cpus_per_env_runner=4", 8, 2, 8, (1, 3.5)),
        ("resources.env_runners=0", 8, 0, 16, (8, 1)),
        ("resources.cpus_for_main_process=1", 8, 0, 16, (1, 1)),
        ("env.id=CartPole-v1", 8, 0, 16, (1, 1)),
    ],
)
def test_ppos_games_are_divided_among_the_cpus_of_the_main_process(
    override: str, cpus: int, env_runners: int, games: int, reserved: tuple[float, float]
) -> None:
    alone = ["seeds=1", "search.parameters={training.lr: {values: [1e-3]}}", override]
    network = ["env.protocol=null", "network={name: mlp}"] if "CartPole" in override else []
    resources = make(
        load("breakout_lr.yaml", overrides=[*alone, *network], root=ROOT).sweep, Machine.of(cpus, 0)
    ).resources
    assert (resources.env_runners, resources.envs_per_env_runner) == (env_runners, games)
    assert resources.reserved_cpus == pytest.approx(reserved)
    assert resources.envs == (int(override.split("=")[1]) if "envs_per" in override else 16)
    assert resources.cpus <= cpus
    takes_one = "main_process" in override or "CartPole" in override
    assert resources.cpus_for_main_process == (1 if takes_one else cpus)


@pytest.mark.parametrize(("algorithm", "cpus"), [("ppo", 1), ("impala", 1), ("appo", 1), ("dqn", 2)])
def test_a_trial_without_images_takes_what_it_can_use(algorithm: str, cpus: int) -> None:
    sweep = load("cartpole_ppo.yaml", overrides=["search={}", "seeds=1"], root=ROOT).sweep.as_written()
    other = Sweep.parse({**sweep, "algorithm": algorithm, "training": {}})
    assert make(other, Machine.of(16, 0)).resources.cpus_for_main_process == cpus


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("resources.gpus_per_learner=0.5", "resources.gpus_per_learner"),
        ("resources.env_runners=8", "resources.env_runners"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_key(override: str, key: str) -> None:
    sweep = load("breakout_lr.yaml", overrides=[override], root=ROOT).sweep
    with pytest.raises(PreflightError) as caught:
        make(sweep, Machine.of(2, 0))
    assert caught.value.key == key
