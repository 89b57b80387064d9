"""`deterministic: true`: the same trial gives the same rows again, whatever its process did before."""

from __future__ import annotations

from typing import Any

import pytest

from rlsweep.plan import Machine, make
from rlsweep.run.trial import Trial, trainable_for
from rlsweep.spec import load
from rlsweep.store import rows

SPEC = """
version: 1
name: repeat
algorithm: {algorithm}
deterministic: true
env: {{id: {env}}}
training: {{{training}}}
network: {{name: {network}}}
search: {{method: grid, parameters: {{training.lr: {{values: [1e-3, 3e-4]}}}}}}
objective: {{metric: score, goal: maximize}}
exploration: {{random_env_steps: 100}}
evaluation: {{every: 400, games: 2}}
resources: {{env_runners: 1, envs_per_env_runner: 2, cpus_per_env_runner: 0.5, cpus_for_main_process: 1}}
stop: {{env_steps: 1200}}
"""
PPO = "train_batch_size_per_learner: 256, minibatch_size: 64, num_epochs: 2"
DQN = (
    "num_steps_sampled_before_learning_starts: 200, noisy: true, "
    "replay_buffer_config: {type: PrioritizedEpisodeReplayBuffer, capacity: 1000}"
)
TIMES = (rows.SECONDS, rows.STEPS_PER_SECOND)


def history(trial: Trial) -> list[dict[str, Any]]:
    """What a trial does until its stop, without what a clock or Tune says. NaN as text equals itself."""
    found = []
    while not found or not found[-1][rows.REACHED_STOP]:
        row = trial.train()
        kept = [key for key in row if key in trial._row and key not in TIMES]
        values = {key: str(row[key]) for key in kept if not key.startswith(rows.TIMERS_PREFIX)}
        found.append({**values, rows.REACHED_STOP: row[rows.REACHED_STOP]})
    return found


@pytest.mark.parametrize(
    ("algorithm", "env", "network", "training"),
    [
        ("ppo", "ALE/Breakout-v5", "nature_cnn", PPO),
        ("ppo", "CartPole-v1", "mlp", PPO),
        ("dqn", "CartPole-v1", "mlp", DQN),
    ],
)
def test_a_trial_repeats_itself(
    machine: Machine, write_spec: Any, algorithm: str, env: str, network: str, training: str
) -> None:
    text = SPEC.format(algorithm=algorithm, env=env, network=network, training=training)
    plan = make(load(write_spec(text)).sweep, machine)
    first, second = plan.trials
    trial = trainable_for(plan)(first.tune_config)
    try:
        once = history(trial)
        trial.reset_config(second.tune_config)
        other = history(trial)
        trial.reset_config(first.tune_config)
        assert history(trial) == once, "after another trial in the same processes"
    finally:
        trial.cleanup()
    trial = trainable_for(plan)(second.tune_config)
    try:
        assert history(trial) == other, "in processes of its own"
    finally:
        trial.cleanup()
    assert once != other, "the rows tell two learning rates apart"
    assert sum(row["score"] != "nan" for row in once) >= 1, "games ended"
