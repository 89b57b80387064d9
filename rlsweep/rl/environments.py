"""A spec's `env:` -> a vector environment that RLlib's env runners and rollouts step alike."""

from __future__ import annotations

from typing import Any, NamedTuple

import ale_py
import gymnasium
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from rlsweep.errors import PreflightError
from rlsweep.rl.atari import StackedFrames, make_atari
from rlsweep.rl.games import GameRecorder
from rlsweep.rl.rewards import RewardTerms
from rlsweep.spec.env import EnvSpec


def make_environment(env: EnvSpec, num_envs: int, *, num_threads: int = 1, render: bool = False) -> VectorEnv:
    """`num_envs` copies of the environment, with a GameRecorder inside.

    Args:
        env: which environment, and how its observations are made.
        num_envs: copies stepped together.
        num_threads: threads of the native ALE environment; others step one after the other.
        render: RGB frames from `render()`.

    Raises:
        PreflightError: Gymnasium cannot make it, or its spaces are none that the networks take.
    """
    try:
        games = (
            make_atari(env, num_envs, num_threads=num_threads, render=render)
            if env.is_atari
            else _make_copies(env, num_envs, render)
        )
    except PreflightError:
        raise
    except Exception as error:  # an environment is anybody's code
        message = f"the environment {env.id} cannot be made: {type(error).__name__}: {error}"
        raise PreflightError(message, key="env") from error
    return RewardTerms(games, env.reward) if env.reward is not None else games


def make_playing_environment(
    env: EnvSpec, num_envs: int, *, num_threads: int = 1, render: bool = False
) -> VectorEnv:
    """The environment of training as the network sees it, without RLlib's connectors.

    Where they stack the frames (`frame_stack_by: connector`), a wrapper does it in their stead.
    Arguments and errors as `make_environment`.
    """
    environment = make_environment(env, num_envs, num_threads=num_threads, render=render)
    return StackedFrames(environment, env.atari.frame_stack) if env.stacks_by_connector else environment


class Spaces(NamedTuple):
    """Of one environment, as the network sees it."""

    observations: gymnasium.Space[Any]
    actions: gymnasium.Space[Any]


def spaces_of(env: EnvSpec) -> Spaces:
    """The spaces of an environment; it is made for that, and closed.

    Raises:
        PreflightError: as `make_environment`.
    """
    environment = make_playing_environment(env, 1)
    try:
        return Spaces(environment.single_observation_space, environment.single_action_space)
    finally:
        environment.close()


def game_recorder(env: VectorEnv) -> GameRecorder:
    """The recorder inside a vector environment that `make_environment` made.

    Raises:
        LookupError: there is none.
    """
    layer: Any = env
    while layer is not None:
        if isinstance(layer, GameRecorder):
            return layer
        layer = getattr(layer, "env", None)
    raise LookupError(f"{env} holds no GameRecorder")


def _make_copies(env: EnvSpec, num_envs: int, render: bool) -> VectorEnv:
    copies = SyncVectorEnv(
        [lambda: _make_copy(env, render) for _ in range(num_envs)],
        autoreset_mode=AutoresetMode.NEXT_STEP,
    )
    _check_spaces(env, copies)
    return GameRecorder(copies)


def _make_copy(env: EnvSpec, render: bool) -> gymnasium.Env[Any, Any]:
    gymnasium.register_envs(ale_py)
    copy = gymnasium.make(env.id, render_mode="rgb_array" if render else None, **env.kwargs)
    is_box = isinstance(copy.observation_space, gymnasium.spaces.Box)
    return copy if is_box else gymnasium.wrappers.FlattenObservation(copy)


def _check_spaces(env: EnvSpec, copies: VectorEnv) -> None:
    actions, observations = copies.single_action_space, copies.single_observation_space
    if not isinstance(actions, (gymnasium.spaces.Discrete, gymnasium.spaces.Box)):
        raise PreflightError(f"{env.id}: actions are {actions}; allowed: Discrete or Box")
    if isinstance(actions, gymnasium.spaces.Box) and len(actions.shape) != 1:
        raise PreflightError(f"{env.id}: actions are {actions}; allowed: a Box of one dimension")
    if len(observations.shape or ()) not in (1, 3):
        raise PreflightError(f"{env.id}: observations are {observations}; allowed: flat or images")
