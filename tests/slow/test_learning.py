"""Every algorithm learns. CartPole, because a curve on it costs minutes, not hours.

Random play scores about 22. The thresholds are far from it and well below what each seed reaches.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analysis.comparison import compare
from analysis.history import read_run
from rlsweep.store.layout import Storage

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: {algorithm}
algorithm: {algorithm}
env: {{id: CartPole-v1}}
training: {training}
network: {{name: mlp, fcnet_hiddens: [64, 64], vf_share_layers: {shared}}}
seeds: [0, 1]
objective: {{metric: score, goal: maximize}}
resources: {resources}
stop: {{env_steps: {env_steps}, score: 200}}
"""

CASES = {
    "ppo": (
        "{lr: 1e-3, train_batch_size_per_learner: 2048, minibatch_size: 128, num_epochs: 6,"
        " vf_loss_coeff: 0.01, vf_clip_param: 1e4, use_kl_loss: false, entropy_coeff: 0.0}",
        "{envs_per_env_runner: 8}",
        150_000,
    ),
    "appo": (
        "{lr: 1e-3, train_batch_size_per_learner: 500, vf_loss_coeff: 0.05, grad_clip: 20.0,"
        " entropy_coeff: 0.0}",
        "{envs_per_env_runner: 5}",
        400_000,
    ),
    "impala": (
        "{lr: 1e-3, train_batch_size_per_learner: 500, vf_loss_coeff: 0.05, grad_clip: 20.0,"
        " entropy_coeff: 0.0}",
        "{envs_per_env_runner: 5}",
        400_000,
    ),
    "dqn": (
        "{lr: 5e-4, train_batch_size_per_learner: 32, training_intensity: 32, double_q: true, dueling: true,"
        " target_network_update_freq: 500, num_steps_sampled_before_learning_starts: 1000,"
        " epsilon: [[0, 1.0], [10000, 0.02]], replay_buffer_config: {type: EpisodeReplayBuffer,"
        " capacity: 50000}}",
        "{envs_per_env_runner: 1}",
        60_000,
    ),
}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("algorithm", sorted(CASES))
def test_an_algorithm_learns_to_balance_the_pole(algorithm: str, tmp_path: Path) -> None:
    training, resources, env_steps = CASES[algorithm]
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        SPEC.format(
            algorithm=algorithm,
            training=training,
            resources=resources,
            env_steps=env_steps,
            shared=str(algorithm == "dqn").lower(),
        )
    )
    command = [sys.executable, "-c", "from rlsweep.cli import main; main()", "run", str(spec)]
    subprocess.run([*command, "--storage", str(tmp_path)], cwd=ROOT, check=True)
    (found,) = compare(read_run(Storage(tmp_path).run(algorithm)))
    assert len(found.trials) == 2
    for trial in found.trials:
        assert trial.best >= 150, f"seed {trial.seed} reached {trial.best} in {trial.env_steps} env steps"
