"""DQN with our replay: how often it updates, where its env runners and learners are, what it saves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID

from rlsweep.plan import Machine, make
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.bundle import load_bundle
from rlsweep.rl.cores import use_cores
from rlsweep.rl.dqn import ReplayDQNConfig, ReplayRatio
from rlsweep.rl.noisy import is_of_noise
from rlsweep.rl.prioritized_replay import PrioritizedReplay
from rlsweep.run.trial import Trial, trainable_for
from rlsweep.spec import Sweep, load
from rlsweep.store.checkpoint import REPLAY
from rlsweep.store.layout import RunLayout

SPEC = """
version: 1
name: dqn
algorithm: dqn
env: {{id: CartPole-v1}}
training: {{train_batch_size_per_learner: 8, num_steps_sampled_before_learning_starts: 100,
  target_network_update_freq: 100, epsilon: [[0, 1.0], [2000, 0.1]], {training}}}
network: {{name: mlp, fcnet_hiddens: [16]}}
objective: {{metric: score, goal: maximize}}
resources: {{envs_per_env_runner: 3, {resources}}}
stop: {{env_steps: 100k}}
"""
UNIFORM = "replay_buffer_config: {type: EpisodeReplayBuffer, capacity: 1000}"
PRIORITIZED = (
    "replay_buffer_config: {type: PrioritizedEpisodeReplayBuffer, capacity: 1000, alpha: 0.6, beta: 0.4}"
)


@pytest.fixture
def sweep_of(write_spec: Any) -> Any:
    def make_sweep(training: str, resources: str = "env_runners: 0") -> Sweep:
        return load(write_spec(SPEC.format(training=training, resources=resources))).sweep

    return make_sweep


@contextmanager
def built(sweep: Sweep, machine: Machine) -> Iterator[Algorithm]:
    trial = make(sweep, machine).example
    algorithm = build_config(trial.sweep, trial.seed, trial.resources).build_algo()
    try:
        yield algorithm
    finally:
        algorithm.stop()


def learned(result: dict[str, Any]) -> dict[str, Any]:
    return dict(result["learners"][DEFAULT_MODULE_ID])


@pytest.mark.parametrize("intensity", [8.0, 3.0, 0.7, None])
def test_exactly_as_much_is_replayed_as_the_spec_asks_for(
    intensity: float | None, machine: Machine, sweep_of: Any
) -> None:
    """RLlib rounds to whole updates per fragment, or whole fragments per update."""
    setting = f"training_intensity: {intensity}, " if intensity else ""
    with built(sweep_of(setting + UNIFORM), machine) as algorithm:
        for _ in range(3):
            result = algorithm.train()
    env_steps = result["env_runners"]["num_env_steps_sampled_lifetime"]
    replayed = learned(result)["num_module_steps_trained_lifetime"]
    expected = (intensity or 8 / 3) * (env_steps - 100)  # RLlib's natural ratio: a batch for each vector step
    assert expected - 8 < replayed <= expected + 1e-6
    assert result["replay_buffer"]["num_env_steps_added_lifetime"] == env_steps


def test_fractions_of_updates_add_up() -> None:
    ratio = ReplayRatio(0.3, 32)
    updates = [ratio.updates(7) for _ in range(10_000)]
    assert sum(updates) == 7 * 10_000 * 3 // 320
    assert set(updates) == {0, 1}


@pytest.mark.parametrize(
    ("envs", "runners", "intensity", "fragment"),
    [(4, 0, 8, 8), (4, 2, 8, 4), (16, 0, 8, 2), (64, 4, 8, 1), (1, 0, 32, 8), (4, 0, 0.01, 16)],
)
def test_a_fragment_makes_several_updates_due(
    envs: int, runners: int, intensity: float, fragment: int
) -> None:
    config = ReplayDQNConfig()
    config.env_runners(num_envs_per_env_runner=envs, num_env_runners=runners)
    config.training(training_intensity=intensity, train_batch_size_per_learner=32)
    assert config.get_rollout_fragment_length() == fragment
    assert config.training(n_step=20).get_rollout_fragment_length() >= 20


def test_sampling_beside_learning_changes_nothing(machine: Machine, sweep_of: Any) -> None:
    """On one core a fragment is sampled after the updates of the one before, on two cores meanwhile."""
    found = []
    for cores in (1, 2):
        use_cores(cores)
        with built(sweep_of("training_intensity: 8, " + UNIFORM), machine) as algorithm:
            scores = [algorithm.train()["env_runners"].get("episode_return_mean") for _ in range(2)]
            weights = algorithm.learner_group.get_weights()[DEFAULT_MODULE_ID]
            found.append((scores, weights))
    use_cores(1)
    (scores, weights), (others, same) = found
    np.testing.assert_array_equal(scores, others)
    for name, values in weights.items():
        np.testing.assert_array_equal(values, same[name])


@pytest.mark.parametrize("replay", [UNIFORM, PRIORITIZED], ids=["uniform", "prioritized"])
@pytest.mark.parametrize(
    "resources", ["env_runners: 0", "env_runners: 1", "env_runners: 0, learners: 1"], ids=str
)
def test_runners_and_learners_here_or_elsewhere(
    resources: str, replay: str, machine: Machine, sweep_of: Any
) -> None:
    with built(sweep_of(f"training_intensity: 4, n_step: 3, {replay}", resources), machine) as algorithm:
        result = algorithm.train()
        result = algorithm.train()
        found = learned(result)
        assert np.isfinite(found["qf_loss"])
        assert "td_error" not in found
        assert found["num_target_updates"] > 5
        assert found["last_target_update_ts"] > 100
        assert result["env_runners"]["num_env_steps_sampled_lifetime"] >= 2000
        buffer = algorithm.local_replay_buffer
        assert len(buffer) == 1000
        if isinstance(buffer, PrioritizedReplay):
            assert buffer._tree is not None
            priorities = buffer._tree[np.arange(buffer._tree.size)]
            assert len(np.unique(priorities)) > 100  # TD errors came back
        # The env runner acts by what was learned.
        weights = algorithm.learner_group.get_weights()[DEFAULT_MODULE_ID]
        (state,) = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: runner.module.get_state(), local_env_runner=resources != "env_runners: 1"
        )
        for name, value in state.items():
            np.testing.assert_array_equal(value, weights[name])


def test_the_target_network_goes_by_the_env_steps_of_each_update(machine: Machine, sweep_of: Any) -> None:
    spec = sweep_of(f"tau: 0.005, training_intensity: 8, {UNIFORM}").as_written()
    spec["training"]["target_network_update_freq"] = 1
    with built(Sweep.parse(spec), machine) as algorithm:
        found = learned(algorithm.train())
        updates = found["num_module_steps_trained_lifetime"] / 8
        assert updates > 800
        assert found["num_target_updates"] > 0.95 * updates, "one for each env step, as updates"


def test_distributional_dueling_double_and_n_steps_train_together(machine: Machine, sweep_of: Any) -> None:
    """All of Rainbow."""
    settings = "num_atoms: 11, v_min: 0, v_max: 50, dueling: true, double_q: true, n_step: 3, noisy: true"
    with built(sweep_of(f"{settings}, training_intensity: 2, {PRIORITIZED}"), machine) as algorithm:
        assert np.isfinite(learned(algorithm.train())["qf_loss"])


def test_a_noisy_network_explores_by_its_noise_and_plays_without_it(
    machine: Machine, write_spec: Any, tmp_path: Path
) -> None:
    text = SPEC.format(training=f"noisy: true, dueling: false, {UNIFORM}", resources="env_runners: 0")
    sweep = load(write_spec(text.replace("epsilon: [[0, 1.0], [2000, 0.1]],", ""))).sweep
    trial = trial_of(sweep, machine)
    try:
        before, after = trial.train(), trial.train()
        assert before["env_steps"] < after["env_steps"]
        module = trial._algorithm.get_module()
        assert module.epsilon_schedule.get_current_value() == 0
        observations = {"obs": torch.zeros(1, 4)}
        values = torch.stack([_explored_values(module, observations["obs"]) for _ in range(20)])
        assert float(values.std(0).max()) > 0, "each step has noise of its own"
        learner = trial._algorithm.learner_group._learner.module[DEFAULT_MODULE_ID]
        sigmas = [parameter for name, parameter in learner.network.named_parameters() if is_of_noise(name)]
        assert len(sigmas) == 4, "weight and bias of two layers"
        assert any(float(sigma.detach().std()) > 0 for sigma in sigmas), "its size is learned"
        trial.save_checkpoint(str(tmp_path / "checkpoint"))
        policy = load_bundle(tmp_path / "checkpoint" / RunLayout.POLICY).policy
        expected = learner.forward_inference(observations)["actions"]
        assert torch.equal(policy.decide(observations["obs"]).argmax(-1), expected)
    finally:
        trial.cleanup()


def _explored_values(module: Any, observations: torch.Tensor) -> torch.Tensor:
    module.forward_exploration({"obs": observations}, t=0)  # leaves its noise in
    with torch.no_grad():
        values: torch.Tensor = module.network.decide(observations)
    return values


def trial_of(sweep: Sweep, machine: Machine) -> Trial:
    plan = make(sweep, machine)
    trial = trainable_for(plan)(plan.trials[0].tune_config)
    trial.begin()
    return trial


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_restored_trial_has_its_replay_buffer_or_fills_it_again(
    is_saved: bool, machine: Machine, sweep_of: Any, tmp_path: Path
) -> None:
    training = "training_intensity: 1, " + PRIORITIZED
    spec = sweep_of(training).as_written()
    spec["training"]["num_steps_sampled_before_learning_starts"] = 1500
    spec["checkpoints"] = {"every": "10k", "replay_buffer": is_saved}
    trial, other = trial_of(Sweep.parse(spec), machine), trial_of(Sweep.parse(spec), machine)
    try:
        for _ in range(2):
            row = trial.train()
        assert np.isfinite(row["learner/qf_loss"])
        trial.save_checkpoint(str(tmp_path))
        assert (tmp_path / REPLAY).exists() == is_saved
        other.load_checkpoint(str(tmp_path))
        buffer, theirs = (t._algorithm.local_replay_buffer for t in (other, trial))
        if is_saved:
            for name, value in theirs.get_state().items():
                np.testing.assert_array_equal(buffer.get_state()[name], value)
        else:
            assert len(buffer) == 0
        first, second = other.train(), other.train()
        assert np.isfinite(first["learner/qf_loss"]) == is_saved
        assert np.isfinite(second["learner/qf_loss"])
    finally:
        trial.cleanup()
        other.cleanup()
