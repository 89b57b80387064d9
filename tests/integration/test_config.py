"""Our AlgorithmConfigs against RLlib's own word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray.tune import PlacementGroupFactory

from rlsweep.errors import PreflightError
from rlsweep.plan import Machine, make
from rlsweep.plan.packing import Node
from rlsweep.plan.trial_resources import ACCELERATOR
from rlsweep.rl import preflight, signatures
from rlsweep.rl.algorithms import build_config
from rlsweep.run.trial import trainable_for
from rlsweep.spec import load
from rlsweep.spec.hyperparameters import hyperparameters

ROOT = Path(__file__).parents[2]
BIG = Machine((Node("big", {"CPU": 16, "GPU": 4, "disk": 1}),))
LABELLED = Machine(
    (
        Node("a", {"CPU": 4, "GPU": 2}, {ACCELERATOR: "H100", "zone": "x"}),
        Node("b", {"CPU": 4}, {"zone": "y"}),
    )
)


@pytest.mark.parametrize(("algorithm", "names"), sorted(signatures.table().items()))
def test_the_table_of_hyperparameters_is_fresh(algorithm: str, names: dict[str, dict[str, Any]]) -> None:
    found = {
        name: {"kinds": list(known.kinds), "default": known.default}
        for name, known in hyperparameters(algorithm).items()
    }
    assert found == names, "run python -m rlsweep.rl.signatures"


@pytest.mark.parametrize(
    ("spec", "overrides"),
    [
        ("breakout_lr.yaml", []),
        ("breakout_lr.yaml", ["resources.env_runners=3"]),
        ("breakout_lr.yaml", ["seeds=1", "search.parameters={training.lr: {values: [1e-3]}}"]),
        ("breakout_lr.yaml", ["resources={learners: 2, gpus_per_learner: 1}"]),
        ("breakout_lr.yaml", ["resources={learners: 2, gpus_per_learner: 0, env_runners: 2}"]),
        ("breakout_lr.yaml", ["resources={gpus_per_learner: 0.25, placement: SPREAD}"]),
        ("breakout_lr.yaml", ["resources={gpus_per_learner: 0.5, custom_resources: {disk: 0.5}}"]),
        ("breakout_ppo_reference.yaml", []),
        ("pong_impala.yaml", []),
        ("breakout_dqn.yaml", []),
    ],
)
def test_planned_bundles_are_those_that_rllib_asks_for(spec: str, overrides: list[str]) -> None:
    plan = make(load(spec, overrides=overrides, root=ROOT).sweep, BIG)
    trial = plan.trials[0]
    asked = trainable_for(plan).default_resource_request(trial.tune_config)
    assert [bundle for bundle in asked.bundles if bundle] == trial.resources.bundles
    assert asked.strategy == trial.resources.placement


def test_bundles_ask_for_the_labels_of_their_nodes() -> None:
    labels = "accelerator: H100, node_labels: {zone: x}, env_runner_node_labels: {zone: y}"
    override = f"resources={{env_runners: 1, learners: 2, gpus_per_learner: 1, {labels}}}"
    plan = make(load("breakout_lr.yaml", overrides=[override], root=ROOT).sweep, LABELLED)
    group = trainable_for(plan).default_resource_request(plan.trials[0].tune_config)
    on_gpu = {"zone": "x", ACCELERATOR: "H100"}
    selectors = [{"zone": "x"}, {"zone": "y"}, on_gpu, on_gpu]
    assert group == PlacementGroupFactory(group.bundles, "PACK", bundle_label_selector=selectors)


def test_a_learning_rate_per_learner_is_scaled() -> None:
    for learners, lr in [(0, 1.5e-4), (1, 1.5e-4), (4, 6e-4)]:
        sweep = load(
            "breakout_ppo_reference.yaml", overrides=[f"resources.learners={learners}"], root=ROOT
        ).sweep
        trial = make(sweep, BIG).trials[0]
        assert build_config(trial.sweep, 0, trial.resources).lr == pytest.approx(lr)


@pytest.mark.parametrize(
    ("spec", "override", "said"),
    [
        ("breakout_lr.yaml", "network={name: mlp}", None),
        ("cartpole_ppo.yaml", "network={name: nature_cnn}", "nature_cnn: no observations of shape"),
        ("breakout_lr.yaml", "training.minibatch_size=9999", "RLlib refuses"),
        ("breakout_dqn.yaml", "env={id: Pendulum-v1, protocol: null}", "dqn needs discrete actions"),
        ("breakout_lr.yaml", "env.mode=77", "no mode 77; allowed: 0, 4"),
    ],
)
def test_preflight_finds_what_would_fail_later(spec: str, override: str, said: str | None) -> None:
    overrides = [override]
    if "Pendulum" in override:
        overrides.append("network={name: mlp}")
    plan = make(load(spec, profile="smoke", overrides=overrides, root=ROOT).sweep, BIG)
    if said is None:
        preflight.check(plan)
    else:
        with pytest.raises(PreflightError, match=said):
            preflight.check(plan)
