"""How large a trial's checkpoint is, from its network."""

from __future__ import annotations

import gymnasium

from rlsweep.errors import PreflightError
from rlsweep.rl.bundle import Q_SETTINGS
from rlsweep.rl.environments import Spaces, spaces_of
from rlsweep.rl.noisy import make_noisy
from rlsweep.rl.policies import ActorCritic, QNetwork
from rlsweep.spec import Sweep
from rlsweep.spec.hyperparameters import REPLAY_BUFFER, hyperparameters

BYTES_PER_PARAMETER = 4
ADAM_MOMENTS = 2
OVERHEAD_BYTES = 800_000
"""RLlib's pickled constructor arguments, six times about 115 kB, and small files."""

REPLAY_COMPRESSION = 20
"""Frames of games take less than this part of their size: random play of Breakout 1/190."""

_WITH_TARGET_NETWORK = ("appo", "dqn")


def parameter_count(sweep: Sweep) -> int:
    """Parameters of the network that a sweep trains.

    Raises:
        PreflightError: the environment or the network cannot be made.
    """
    network, _ = network_of(sweep)
    return sum(parameter.numel() for parameter in network.parameters())


def network_of(sweep: Sweep) -> tuple[ActorCritic | QNetwork, Spaces]:
    """The network that a sweep trains, and the spaces that it is made for.

    Raises:
        PreflightError: the environment or the network cannot be made.
    """
    spaces = spaces_of(sweep.env)
    shape, actions = spaces.observations.shape or (), spaces.actions
    try:
        if sweep.algorithm != "dqn":
            return ActorCritic(sweep.network, shape, actions), spaces
        if not isinstance(actions, gymnasium.spaces.Discrete):
            raise PreflightError(f"dqn needs discrete actions, {sweep.env.id} has {actions}", key="algorithm")
        known = hyperparameters(sweep.algorithm)
        settings = {name: sweep.training.get(name, known[name].default) for name in Q_SETTINGS}
        network = QNetwork(sweep.network, shape, actions, **settings)
    except ValueError as error:
        raise PreflightError(str(error), key="network") from None
    if sweep.training.get("noisy"):
        make_noisy(network, sigma0=1.0)
    return network, spaces


def checkpoint_bytes(sweep: Sweep) -> int:
    """Bytes of one checkpoint: RLModule, Adam's moments, target network, policy bundle, and replay buffer.

    Raises:
        PreflightError: as `parameter_count`.
    """
    copies = 1 + ADAM_MOMENTS + 1 + (1 if sweep.algorithm in _WITH_TARGET_NETWORK else 0)
    return parameter_count(sweep) * BYTES_PER_PARAMETER * copies + OVERHEAD_BYTES + _replay_bytes(sweep)


def _replay_bytes(sweep: Sweep) -> int:
    """DQN's replay buffer in a checkpoint, if the spec asks for it; only frames are large."""
    if not sweep.checkpoints.replay_buffer or not sweep.env.is_atari:
        return 0
    settings = sweep.training.get(REPLAY_BUFFER, {})
    capacity = settings.get("capacity", hyperparameters(sweep.algorithm)[REPLAY_BUFFER].default["capacity"])
    height, width = sweep.env.atari.resolution
    frame_bytes = height * width * (1 if sweep.env.atari.grayscale else 3)
    return int(capacity * frame_bytes / REPLAY_COMPRESSION)
