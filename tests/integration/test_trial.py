"""One trial in this process: rows, checkpoints, parity of the exported policy."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.torch.torch_learner import TorchLearner

from rlsweep.errors import RunError
from rlsweep.plan import Machine, make
from rlsweep.rl.bundle import load_bundle
from rlsweep.rl.networks import Torso
from rlsweep.run.trial import Trial, trainable_for
from rlsweep.spec import Sweep, load
from rlsweep.store import rows

ROOT = Path(__file__).parents[2]

SMALL: dict[str, list[str]] = {
    "breakout_lr.yaml": ["training.train_batch_size_per_learner=256", "training.minibatch_size=64"],
    "pong_impala.yaml": ["training.train_batch_size_per_learner=250"],
    "breakout_dqn.yaml": [
        "training.num_steps_sampled_before_learning_starts=100",
        "training.replay_buffer_config.capacity=500",
        "training.training_intensity=1",
    ],
    "cartpole_ppo.yaml": ["training.train_batch_size_per_learner=512"],
    "breakout_ppo_reference.yaml": [
        "training.train_batch_size_per_learner=256",
        "training.minibatch_size=64",
        "training.num_epochs=1",
    ],
}
APPO = """
version: 1
name: appo
algorithm: appo
env: {id: CartPole-v1}
training: {train_batch_size_per_learner: 500, lr: 5e-4}
network: {name: mlp}
objective: {metric: score, goal: maximize}
resources: {envs_per_env_runner: 4}
stop: {env_steps: 1M}
"""


def small(spec: str, *overrides: str) -> Sweep:
    return load(spec, profile="smoke", overrides=[*SMALL[spec], *overrides], root=ROOT).sweep


def trial_of(sweep: Sweep, machine: Machine) -> Trial:
    plan = make(sweep, machine)
    trial = trainable_for(plan)(plan.trials[0].tune_config)
    trial.begin()
    return trial


@pytest.fixture(params=sorted(SMALL))
def trial(request: pytest.FixtureRequest, machine: Machine) -> Iterator[Trial]:
    made = trial_of(small(request.param), machine)
    yield made
    made.cleanup()


def own_keys(row: dict[str, Any]) -> list[str]:
    return [key for key in row if key not in rows.TUNE_KEYS]


def train_until_it_learns(trial: Trial) -> None:
    """IMPALA, APPO and DQN collect for some iterations before their first update."""
    for _ in range(20):
        trial.train()
        loss = trial._row[
            "learner/qf_loss" if trial._trial.sweep.algorithm == "dqn" else "learner/total_loss"
        ]
        if np.isfinite(loss):
            return
    raise AssertionError("no update in 20 iterations")


def forward(trial: Trial, observations: torch.Tensor) -> np.ndarray:
    """What the learner's own RLModule computes for the observations, in float32 as a bundle does."""
    group = trial._algorithm.learner_group
    module = group.foreach_learner(lambda learner: learner.module)
    (learner_module,) = [result.get() for result in module]
    inner = copy.deepcopy(learner_module[DEFAULT_MODULE_ID].unwrapped())
    for torso in (one for one in inner.modules() if isinstance(one, Torso)):
        torso.precision = "fp32"
    with torch.no_grad():
        if trial._trial.sweep.algorithm == "dqn":
            return np.asarray(inner.compute_q_values({Columns.OBS: observations})["qf_preds"])
        return np.asarray(inner.forward_inference({Columns.OBS: observations})[Columns.ACTION_DIST_INPUTS])


def test_each_shipped_spec_trains_restores_and_exports(trial: Trial, tmp_path: Path) -> None:
    first, second = trial.train(), trial.train()
    for _ in range(10):  # IMPALA's env runners wait for the actor that hands them the weights
        if second[rows.ENV_STEPS] > first[rows.ENV_STEPS]:
            break
        second = trial.train()
    assert own_keys(first) == own_keys(second)
    assert second[rows.ENV_STEPS] > first[rows.ENV_STEPS] >= 0
    assert second[rows.FRAMES] == second[rows.ENV_STEPS] * trial._trial.sweep.env.frames_per_env_step
    train_until_it_learns(trial)
    trial.save_checkpoint(str(tmp_path))
    saved = dict(trial._row)

    # The bundle decides as the module that was trained.
    bundle = load_bundle(tmp_path / "policy")
    shape = trial._algorithm.spaces[DEFAULT_MODULE_ID][0].shape
    observations = torch.randint(0, 256, (16, *shape), dtype=torch.uint8)
    if not trial._trial.sweep.env.is_atari:
        observations = torch.randn(16, *shape)
    ours = bundle.policy.decide(observations).numpy()
    np.testing.assert_allclose(ours, forward(trial, observations), rtol=1e-5, atol=1e-5)

    # Restored, everything goes on from there.
    for _ in range(20):  # IMPALA's iterations may end before an update does
        trial.train()
        if not np.allclose(ours, forward(trial, observations), rtol=1e-5, atol=1e-5):
            break
    else:
        raise AssertionError("training changed nothing")
    trial.load_checkpoint(str(tmp_path))
    np.testing.assert_allclose(ours, forward(trial, observations), rtol=1e-5, atol=1e-5)
    again = trial.train()
    if again[rows.REACHED_STOP] and saved[rows.ENV_STEPS] >= trial._trial.sweep.stop.env_steps:
        assert again[rows.ENV_STEPS] == saved[rows.ENV_STEPS], "it had reached its stop"
        return
    assert saved[rows.ENV_STEPS] < again[rows.ENV_STEPS] <= saved[rows.ENV_STEPS] + 12_000
    assert again[rows.GAMES] >= saved[rows.GAMES]
    assert again[rows.SECONDS] > saved[rows.SECONDS]


def test_appo_trains_and_exports(machine: Machine, tmp_path: Path) -> None:
    spec = tmp_path / "appo.yaml"
    spec.write_text(APPO)
    trial = trial_of(load(spec).sweep, machine)
    try:
        train_until_it_learns(trial)
        trial.save_checkpoint(str(tmp_path / "checkpoint"))
        assert load_bundle(tmp_path / "checkpoint" / "policy").algorithm == "appo"
    finally:
        trial.cleanup()


def test_a_trial_becomes_another_one_in_the_same_process(machine: Machine) -> None:
    plan = make(small("cartpole_ppo.yaml"), machine)
    trial = trainable_for(plan)(plan.trials[0].tune_config)
    try:
        trial.train()
        assert trial.reset(plan.trials[1].tune_config)
        row = trial.train()
        assert trial._algorithm.config.num_epochs == plan.trials[1].values["training.num_epochs"]
        assert row[rows.ENV_STEPS] < 1000
        assert row["training_iteration"] == 1
    finally:
        trial.cleanup()


@pytest.mark.parametrize(
    ("spec", "env_runners"), [("cartpole_ppo.yaml", 0), ("breakout_lr.yaml", 2)], ids=["here", "divided"]
)
def test_the_same_seed_trains_the_same_policy(spec: str, env_runners: int, machine: Machine) -> None:
    def scores(seed: int) -> list[float]:
        one = small(spec, f"seeds=[{seed}]", "search.parameters={training.lr: {values: [1e-3]}}")
        assert make(one, machine).resources.env_runners == env_runners
        trial = trial_of(one, machine)
        try:
            return [trial.train()["learner/policy_loss"] for _ in range(3)]
        finally:
            trial.cleanup()

    first = scores(0)
    assert first == scores(0)
    assert first != scores(1)


@pytest.mark.usefixtures("machine")
def test_ppo_learns_with_two_learners() -> None:
    """Each has half of the batch, and both the same gradient."""
    learners = "resources={learners: 2, gpus_per_learner: 0, env_runners: 0, envs_per_env_runner: 4}"
    sweep = small("breakout_lr.yaml", learners, "seeds=[0]")
    trial = trial_of(sweep, Machine.of(cpus=4, gpus=0))
    try:
        assert np.isfinite([trial.train()["learner/policy_loss"] for _ in range(2)]).all()
        first, second = trial._algorithm.learner_group.foreach_learner(
            lambda learner: learner.get_state()["rl_module"][DEFAULT_MODULE_ID]
        )
        for name, values in first.get().items():
            np.testing.assert_array_equal(values, second.get()[name])
    finally:
        trial.cleanup()


def test_a_damaged_checkpoint_is_not_restored(machine: Machine, tmp_path: Path) -> None:
    trial = trial_of(small("cartpole_ppo.yaml"), machine)
    try:
        trial.train()
        trial.save_checkpoint(str(tmp_path))
        (tmp_path / "progress.json").write_text("{}")
        with pytest.raises(RunError, match=r"progress\.json"):
            trial.load_checkpoint(str(tmp_path))
    finally:
        trial.cleanup()


def test_stops_on_env_steps_score_and_time(machine: Machine) -> None:
    def done(*overrides: str) -> bool:
        trial = trial_of(small("cartpole_ppo.yaml", *overrides), machine)
        try:
            return bool([trial.train() for _ in range(15)][-1]["done"])
        finally:
            trial.cleanup()

    assert not done("stop={env_steps: 1M}")
    assert done("stop={env_steps: 2500}")
    assert done("stop={env_steps: 1M, score: 10}")
    assert done("stop={env_steps: 1M, time: 0.1s}")


def test_evaluation_plays_whole_games(machine: Machine) -> None:
    trial = trial_of(small("cartpole_ppo.yaml", "evaluation={every: 500, games: 5}"), machine)
    try:
        row = trial.train()
        assert row[rows.EVALUATION_GAMES] == 5
        assert row[rows.EVALUATION_SCORE] >= 8
    finally:
        trial.cleanup()


def optimizer_rates(trial: Trial) -> set[float]:
    """The learning rates of every parameter group of the learner's optimizers."""

    def rates(learner: TorchLearner) -> list[float]:
        optimizers = learner.get_optimizers_for_module(DEFAULT_MODULE_ID)
        return [group["lr"] for _, optimizer in optimizers for group in optimizer.param_groups]

    results = trial._algorithm.learner_group.foreach_learner(rates)
    return {rate for result in results for rate in result.get()}


def test_hyperparameters_are_in_force_after_another_trials_checkpoint(
    machine: Machine, tmp_path: Path
) -> None:
    """What PBT does: weights and counters of the donor, hyperparameters of its own."""
    donor = trial_of(small("cartpole_ppo.yaml", "training.entropy_coeff=0.02"), machine)
    sweep = small(
        "cartpole_ppo.yaml",
        "search.parameters={training.lr: {values: [7e-4]}}",
        "training.entropy_coeff=0.005",
        "training.clip_param=0.15",
    )
    heir = trial_of(sweep, machine)
    try:
        for _ in range(2):
            row = donor.train()
        donor.save_checkpoint(str(tmp_path))
        assert optimizer_rates(donor) == {1e-3}
        heir.load_checkpoint(str(tmp_path))
        assert optimizer_rates(heir) == {7e-4}, "before any update"
        after = heir.train()
        assert optimizer_rates(heir) == {7e-4}
        assert after["learner/lr"] == pytest.approx(7e-4)
        assert after["learner/entropy_coeff"] == pytest.approx(0.005)
        assert after[rows.ENV_STEPS] > row[rows.ENV_STEPS]
        assert after[rows.LINEAGE]["donor"] == donor._trial.id
        assert after[rows.LINEAGE]["values"] == heir._trial.values
        assert heir.train()[rows.LINEAGE] is None
    finally:
        donor.cleanup()
        heir.cleanup()


@pytest.mark.parametrize("algorithm", ["ppo", "appo", "impala"])
def test_schedules_change_what_the_learner_uses(algorithm: str, machine: Machine, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    clip = "" if algorithm == "impala" else "clip_param: {linear: [0.4, 0.0]}, "
    spec.write_text(
        APPO.replace("algorithm: appo", f"algorithm: {algorithm}")
        .replace("env_steps: 1M", "env_steps: 40k")
        .replace("lr: 5e-4", f"lr: {{linear: [1e-3, 0]}}, {clip}entropy_coeff: {{cosine: [0.02, 0.0]}}")
    )
    trial = trial_of(load(spec).sweep, machine)
    seen = []
    try:
        for _ in range(40):
            row = trial.train()
            if np.isfinite(row["learner/total_loss"]):
                seen.append([row[key] for key in ("learner/lr", "learner/entropy_coeff")])
                if clip:
                    seen[-1].append(row["learner/clip_param"])
            if row["done"]:
                break
    finally:
        trial.cleanup()
    falling = np.array(seen)
    assert len(falling) > 1
    assert (np.diff(falling, axis=0) <= 0).all()
    assert (falling[-1] < 0.7 * falling[0]).all(), falling


def test_dqn_explores_by_its_schedule(machine: Machine) -> None:
    sweep = small("breakout_dqn.yaml", "training.epsilon={piecewise: [[0, 1.0], [1k, 0.1]]}")
    trial = trial_of(sweep, machine)
    try:
        assert trial._algorithm.config.epsilon == [[0, 1.0], [1000, 0.1]]
        module = trial._algorithm.get_module()
        module.epsilon_schedule.update(500)
        assert module.epsilon_schedule.get_current_value() == pytest.approx(0.55)
        used = trial._algorithm.env_runner.module.epsilon_schedule
        env_steps = trial.train()[rows.ENV_STEPS]
        assert 1000 <= env_steps < 1100
        assert used.get_current_value() < 0.15, "by the env steps of this very iteration"
    finally:
        trial.cleanup()


def test_a_stop_without_improvement_and_after_iterations(machine: Machine) -> None:
    def rows_until_done(*overrides: str) -> int:
        trial = trial_of(small("cartpole_ppo.yaml", *overrides), machine)
        try:
            return next(count for count in range(1, 60) if trial.train()["done"])
        finally:
            trial.cleanup()

    assert rows_until_done("stop={env_steps: 1M, iterations: 4}") == 4
    frozen = ("stop={env_steps: 1M, no_improvement: 2k}", "search.parameters.training.lr.values=[0.0]")
    assert 4 < rows_until_done(*frozen) < 60
    assert rows_until_done("stop={frames: 1500}") == 3
