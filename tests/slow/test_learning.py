"""Every algorithm learns. CartPole, because a curve on it costs minutes, not hours.

Random play scores about 22; 475 is Gymnasium's threshold for "solved", here of the mean of 100 games.
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
network: {{name: mlp, fcnet_hiddens: {hiddens}, vf_share_layers: {shared}}}
seeds: [0, 1]
objective: {{metric: score, goal: maximize}}
resources: {resources}
stop: {{env_steps: {env_steps}, score: 475}}
"""

ASYNCHRONOUS = (  # RLlib's tuned example of IMPALA on CartPole
    "{lr: 5e-4, train_batch_size_per_learner: 500, vf_loss_coeff: 0.05, grad_clip: 40.0,"
    " grad_clip_by: global_norm, entropy_coeff: 0.0}"
)
CASES = {
    "ppo": (
        "{lr: 1e-3, train_batch_size_per_learner: 2048, minibatch_size: 128, num_epochs: 6,"
        " vf_loss_coeff: 0.01, vf_clip_param: 1e4, use_kl_loss: false, entropy_coeff: 0.0}",
        "[64, 64]",
        "{envs_per_env_runner: 8}",
        200_000,
    ),
    "appo": (ASYNCHRONOUS, "[64, 64]", "{envs_per_env_runner: 5}", 2_000_000),
    "impala": (ASYNCHRONOUS, "[64, 64]", "{envs_per_env_runner: 5}", 2_000_000),
    "dqn": (  # CleanRL's dqn.py: a batch of 128 every 10 env steps, mean squared error
        "{lr: 2.5e-4, train_batch_size_per_learner: 128, training_intensity: 12.8, double_q: true,"
        " dueling: false, td_error_loss_fn: mse, target_network_update_freq: 500,"
        " num_steps_sampled_before_learning_starts: 5000, epsilon: [[0, 1.0], [100000, 0.02]],"
        " replay_buffer_config: {type: EpisodeReplayBuffer, capacity: 20000}}",
        "[120, 84]",
        "{envs_per_env_runner: 8}",
        600_000,
    ),
}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("algorithm", sorted(CASES))
def test_an_algorithm_learns_to_balance_the_pole(algorithm: str, tmp_path: Path) -> None:
    training, hiddens, resources, env_steps = CASES[algorithm]
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        SPEC.format(
            algorithm=algorithm,
            training=training,
            hiddens=hiddens,
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
        assert trial.best >= 475, f"seed {trial.seed} reached {trial.best} in {trial.env_steps} env steps"
