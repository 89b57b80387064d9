"""How large a trial's checkpoint is, from its network."""

from __future__ import annotations

import gymnasium

from rlsweep.errors import PreflightError
from rlsweep.rl.bundle import Q_SETTINGS
from rlsweep.rl.environments import make_playing_environment
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


def network_of(sweep: Sweep) -> tuple[ActorCritic | QNetwork, gymnasium.Space]:
    """The network that a sweep trains, and the actions of its environment.

    Raises:
        PreflightError: the environment or the network cannot be made.
    """
    environment = make_playing_environment(sweep.env, 1)
    try:
        shape = environment.single_observation_space.shape or ()
        actions = environment.single_action_space
        network: ActorCritic | QNetwork
        if sweep.algorithm == "dqn" and isinstance(actions, gymnasium.spaces.Discrete):
            settings = {name: sweep.training[name] for name in Q_SETTINGS if name in sweep.training}
            network = QNetwork(sweep.network, shape, actions, **settings)
            if sweep.training.get("noisy"):
                make_noisy(network, sigma0=1.0)
        else:
            network = ActorCritic(sweep.network, shape, actions)
    except ValueError as error:
        raise PreflightError(str(error), key="network") from None
    finally:
        environment.close()
    return network, actions


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
