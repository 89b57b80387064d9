"""Sampling without learning: our env runner with its policy, or the native environment with random actions.

Both with as many games and threads as a PPO trial has on this machine.
"""

from __future__ import annotations

import argparse
import shutil

import numpy as np
import torch
from ale_py.vector_env import AtariVectorEnv

from benchmarks.measure.stopwatch import Stopwatch
from benchmarks.measure.work import bench_plan
from rlsweep.plan import PlannedTrial
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.atari import make_atari
from rlsweep.run.session import ray_session

VECTOR_STEPS = 128
"""Of a fragment, as in sweeps/base/atari_ppo.yaml."""


def sample(trial: PlannedTrial, seconds: float) -> Stopwatch:
    """What the trial's own env runner samples; env steps that it throws away do not count."""
    config = build_config(trial.sweep, trial.seed, trial.resources)
    torch.set_num_threads(trial.resources.cpus_for_main_process)
    algorithm = config.build_algo()
    watch, env_steps = Stopwatch(seconds), 0
    is_over = False
    while not is_over:
        env_steps += sum(len(episode) for episode in algorithm.env_runner.sample())
        is_over = watch.note(env_steps)
    algorithm.stop()
    shutil.rmtree(algorithm.logdir, ignore_errors=True)
    return watch


def step(trial: PlannedTrial, seconds: float) -> Stopwatch:
    """`AtariVectorEnv.step` and nothing else."""
    num_envs = trial.resources.envs_per_env_runner
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
    watch.report(envs=trial.resources.envs_per_env_runner, threads=trial.resources.cpus_for_main_process)


if __name__ == "__main__":
    main()
