"""Policy bundles: a trained policy that plays on a CPU with torch alone, no Ray and no pickle.

A bundle is a folder: `policy.json` (network, environment, where it comes from) and
`weights.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium
import numpy as np
import torch
from pydantic import BaseModel, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rlsweep.errors import BundleError
from rlsweep.rl.policies import ActorCritic, QNetwork
from rlsweep.spec import Algorithm, EnvSpec, NetworkSpec, Sweep
from rlsweep.spec.model import SpecModel

FORMAT = 1
DESCRIPTION = "policy.json"
WEIGHTS = "weights.safetensors"

PositiveInt = Annotated[int, Field(gt=0)]

Q_SETTINGS = ("dueling", "num_atoms", "v_min", "v_max")
"""Hyperparameters of DQN that shape its network."""


@dataclass(frozen=True)
class Bundle:
    """A policy with all it needs to play.

    Attributes:
        policy: the network, on the CPU, in evaluation mode.
        env: the environment it was trained in.
        algorithm: what trained it.
        observation_shape, action_space: of one observation, and of the actions.
        origin: sweep, trial, checkpoint, env steps and score it comes from.
    """

    policy: ActorCritic | QNetwork
    env: EnvSpec
    algorithm: str
    observation_shape: tuple[int, ...]
    action_space: gymnasium.Space[Any]
    origin: dict[str, Any] = field(default_factory=dict)


def save_bundle(
    folder: Path,
    sweep: Sweep,
    weights: Mapping[str, np.ndarray],
    *,
    observation_shape: tuple[int, ...],
    action_space: gymnasium.Space,
    q_settings: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> None:
    """Write a bundle.

    Args:
        folder: created if it is not there.
        sweep: the trial's resolved spec.
        weights: the network's state by parameter name, of an ActorCritic without critic or a QNetwork.
        observation_shape: of one observation as the network takes it.
        action_space: of the environment.
        q_settings: for DQN, the values of Q_SETTINGS; empty otherwise.
        origin: JSON values that say where the policy comes from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: torch.from_numpy(np.array(value)).contiguous() for name, value in weights.items()}
    save_file(tensors, folder / WEIGHTS)
    description = {
        "format": FORMAT,
        "algorithm": sweep.algorithm,
        "network": sweep.network.model_dump(mode="json"),
        "env": sweep.env.model_dump(mode="json", exclude_unset=True),
        "observation_shape": list(observation_shape),
        "action_space": _describe_space(action_space),
        "q_settings": dict(q_settings) or None,
        "origin": dict(origin),
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", "utf-8")


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle on the CPU.

    Raises:
        BundleError: something is missing, damaged, or of another format.
    """
    try:
        description = _Description.model_validate_json((folder / DESCRIPTION).read_bytes())
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise BundleError(f"{folder} is no policy bundle: {error}") from None
    try:
        policy = _build_policy(description)
        policy.load_state_dict(tensors)
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"{folder}: the description and the weights disagree: {error}") from None
    policy.requires_grad_(False)
    return Bundle(
        policy.eval(),
        description.env,
        description.algorithm,
        description.observation_shape,
        _build_space(description.action_space),
        description.origin,
    )


class _DiscreteActions(SpecModel):
    n: PositiveInt


class _BoxActions(BaseModel):
    low: list[float]
    high: list[float]
    dtype: Literal["float32", "float64"]


class _QSettings(SpecModel):
    dueling: bool
    num_atoms: PositiveInt
    v_min: float
    v_max: float


class _Description(BaseModel):
    """`policy.json`."""

    format: Literal[1]
    algorithm: Algorithm
    network: NetworkSpec
    env: EnvSpec
    observation_shape: tuple[PositiveInt, ...]
    action_space: _DiscreteActions | _BoxActions
    q_settings: _QSettings | None = None
    origin: dict[str, Any] = Field(default_factory=dict)


def _build_policy(description: _Description) -> ActorCritic | QNetwork:
    shape, space = description.observation_shape, _build_space(description.action_space)
    network = description.network.model_copy(update={"precision": "fp32"})  # the same games on any machine
    if description.q_settings is None:
        return ActorCritic(network, shape, space, with_critic=False)
    if not isinstance(space, gymnasium.spaces.Discrete):
        raise ValueError(f"a Q-network decides between discrete actions, not {space}")
    return QNetwork(network, shape, space, **description.q_settings.model_dump())


def _describe_space(space: gymnasium.Space) -> dict[str, Any]:
    if isinstance(space, gymnasium.spaces.Discrete):
        return {"n": int(space.n)}
    if isinstance(space, gymnasium.spaces.Box):
        return {"low": space.low.tolist(), "high": space.high.tolist(), "dtype": str(space.dtype)}
    raise BundleError(f"no bundle for actions {space}")


def _build_space(description: _DiscreteActions | _BoxActions) -> gymnasium.Space:
    if isinstance(description, _DiscreteActions):
        return gymnasium.spaces.Discrete(description.n)
    dtype = np.dtype(description.dtype)
    low, high = (np.array(bound, dtype=dtype) for bound in (description.low, description.high))
    return gymnasium.spaces.Box(low, high, dtype=dtype.type)
