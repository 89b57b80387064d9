"""The work that every contestant does, taken from the specs that rlsweep ships."""

from __future__ import annotations

from typing import Any

from benchmarks import ROOT
from rlsweep.plan import Machine, Plan, make
from rlsweep.spec import Sweep, load

GAME = "ALE/Breakout-v5"

LEARNING_STARTS = 1000
"""Env steps before DQN learns: what is timed comes after, and a long random start would only cost time."""

REPLAY_CAPACITY = 100_000

SPECS = {
    "ppo": "base/atari_ppo.yaml",
    "impala": "base/atari_impala.yaml",
    "appo": "base/atari_impala.yaml",
    "dqn": "base/atari_dqn.yaml",
}

_EVERY = [f"env.id={GAME}", "env.frame_skip=4", "env.sticky_actions=0.0", "evaluation=null", "seeds=[0]"]
_DQN = [
    "training.double_q=false",  # Stable-Baselines3 has none
    f"training.num_steps_sampled_before_learning_starts={LEARNING_STARTS}",
    f"training.replay_buffer_config.capacity={REPLAY_CAPACITY}",
]


def bench_sweep(algorithm: str, *overrides: str) -> Sweep:
    """The shipped spec of an algorithm, on Breakout, one trial.

    Args:
        algorithm: ppo, impala, appo or dqn.
        overrides: as `rlsweep run --set`, laid over everything else.
    """
    own = [f"name=bench_{algorithm}", f"algorithm={algorithm}", *(_DQN if algorithm == "dqn" else [])]
    return load(SPECS[algorithm], overrides=[*_EVERY, *own, *overrides], root=ROOT).sweep


def bench_plan(algorithm: str, machine: Machine, *overrides: str) -> Plan:
    """The same, planned for a machine."""
    return make(bench_sweep(algorithm, *overrides), machine)


def training_arguments(algorithm: str) -> dict[str, Any]:
    """The spec's `training:` as arguments of RLlib's `AlgorithmConfig.training()`."""
    arguments = dict(bench_sweep(algorithm).training)
    if algorithm == "dqn":
        arguments["replay_buffer_config"] = {"type": "EpisodeReplayBuffer", "capacity": REPLAY_CAPACITY}
    return arguments
