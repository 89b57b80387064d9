"""Stable-Baselines3 with its own Atari wrappers and the hyperparameters of our specs."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack

from benchmarks.measure.stopwatch import Stopwatch, cores

GAME = "ale_py:ALE/Breakout-v5"
LEARNING_STARTS = 1000
VECTOR_ENVS = {"subproc": SubprocVecEnv, "dummy": DummyVecEnv}


class Timer(BaseCallback):
    """Takes the time whenever a rollout begins, so that every learning step falls inside."""

    def __init__(self, seconds: float, starts: int) -> None:
        super().__init__()
        self.watch = Stopwatch(seconds)
        self._starts = starts
        self._is_over = False
        self._first_updates: int | None = None

    @property
    def updates(self) -> int:
        """Gradient steps (DQN) or epochs (PPO) since the warm-up."""
        return int(self.model._n_updates) - (self._first_updates or 0)

    def _on_rollout_start(self) -> None:
        if self.num_timesteps > self._starts:
            self._is_over = self.watch.note(self.num_timesteps)
            if self._first_updates is None:
                self._first_updates = int(self.model._n_updates)

    def _on_step(self) -> bool:
        return not self._is_over


def make_environment(kind: str, num_envs: int) -> VecEnv:
    """Breakout with frame skip 4, 84x84x4 gray, no-ops, life loss as episode end, clipped rewards."""
    environment = make_atari_env(
        GAME,
        n_envs=num_envs,
        seed=0,
        env_kwargs={"frameskip": 1, "repeat_action_probability": 0.0, "full_action_space": False},
        vec_env_cls=VECTOR_ENVS[kind],
    )
    return VecFrameStack(environment, n_stack=4)


def ppo(environment: VecEnv) -> BaseAlgorithm:
    """16 games x 128 steps, 4 epochs, minibatches of 256: sweeps/base/atari_ppo.yaml."""
    return PPO(
        "CnnPolicy",
        environment,
        learning_rate=2.5e-4,
        n_steps=128,
        batch_size=256,
        n_epochs=4,
        gamma=0.99,
        gae_lambda=0.95,
        clip_range=0.1,
        ent_coef=0.01,
        vf_coef=0.5,
        max_grad_norm=0.5,
        seed=0,
    )


def dqn(environment: VecEnv) -> BaseAlgorithm:
    """A batch of 32 every 4 env steps, a buffer of 100k transitions: sweeps/base/atari_dqn.yaml."""
    return DQN(
        "CnnPolicy",
        environment,
        learning_rate=6.25e-5,
        buffer_size=100_000,
        optimize_memory_usage=True,
        replay_buffer_kwargs={"handle_timeout_termination": False},  # as memory optimisation wants it
        learning_starts=LEARNING_STARTS,
        batch_size=32,
        train_freq=4 // environment.num_envs,
        gradient_steps=1,
        target_update_interval=8000,
        gamma=0.99,
        seed=0,
    )


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithm", choices=["ppo", "dqn"])
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--vec-env", choices=list(VECTOR_ENVS), required=True)
    parser.add_argument("--envs", type=int, required=True)
    chosen = parser.parse_args()
    torch.set_num_threads(cores())
    environment = make_environment(chosen.vec_env, chosen.envs)
    learners: dict[str, Any] = {"ppo": ppo, "dqn": dqn}
    timer = Timer(chosen.seconds, LEARNING_STARTS if chosen.algorithm == "dqn" else 0)
    learners[chosen.algorithm](environment).learn(2**40, callback=timer)
    environment.close()
    samples_per_update = 32 if chosen.algorithm == "dqn" else 16 * 128
    trained = timer.updates * samples_per_update
    timer.watch.report(trained_per_env_step=trained / timer.watch.env_steps)


if __name__ == "__main__":
    main()
