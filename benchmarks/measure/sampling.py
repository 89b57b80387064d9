"""Sampling without learning: our env runners with their policy, or the native games with random actions.

Both with as many games and threads as a PPO trial has on this machine.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import asdict

import numpy as np
from ale_py.vector_env import AtariVectorEnv
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample

from benchmarks.measure.stopwatch import Stopwatch
from benchmarks.measure.work import bench_plan
from rlsweep.plan import PlannedTrial
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.atari import make_atari
from rlsweep.rl.cores import use_cores
from rlsweep.run.session import ray_session

VECTOR_STEPS = 128
"""Of a fragment, as in sweeps/base/atari_ppo.yaml."""


def sample(trial: PlannedTrial, seconds: float) -> Stopwatch:
    """What the trial's env runners sample, as PPO asks them; env steps that they throw away do not count."""
    config = build_config(trial.sweep, trial.seed, trial.resources)
    use_cores(trial.resources.cpus_for_main_process)
    algorithm = config.build_algo()
    watch, env_steps = Stopwatch(seconds), 0
    is_over = False
    while not is_over:
        episodes = synchronous_parallel_sample(
            worker_set=algorithm.env_runner_group,
            max_agent_steps=algorithm.config.total_train_batch_size,
            _uses_new_env_runners=True,
        )
        env_steps += sum(len(episode) for episode in episodes)
        is_over = watch.note(env_steps)
    algorithm.stop()
    shutil.rmtree(algorithm.logdir, ignore_errors=True)
    return watch


def step(trial: PlannedTrial, seconds: float) -> Stopwatch:
    """`AtariVectorEnv.step` and nothing else."""
    num_envs = trial.resources.envs
    ours = make_atari(trial.sweep.env, num_envs, num_threads=trial.resources.cpus_for_main_process)
    games = ours.unwrapped  # the same emulators, without what counts games and lives
    assert isinstance(games, AtariVectorEnv)
    games.reset(seed=trial.seed)
    random = np.random.default_rng(trial.seed)
    watch, env_steps = Stopwatch(seconds), 0
    is_over = False
    while not is_over:
        for actions in random.integers(games.single_action_space.n, size=(VECTOR_STEPS, num_envs)):
            games.step(actions)
        env_steps += VECTOR_STEPS * num_envs
        is_over = watch.note(env_steps)
    games.close()
    return watch


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["ours", "env"])
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    with ray_session() as machine:
        trial = bench_plan("ppo", machine).example
        watch = (sample if arguments.what == "ours" else step)(trial, arguments.seconds)
    watch.report(**asdict(trial.resources))


if __name__ == "__main__":
    main()
