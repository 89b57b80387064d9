"""ALE games as vector environments: the native C++ one, and Gymnasium's where it cannot do.

Preprocessing (frame skip, max-pooling of two frames, luminance, resize, stack, no-op starts, FIRE at the
start) follows Mnih et al. 2015 and OpenAI Baselines' `atari_wrappers.py`. Both backends give the same
pixels for the same game and actions; a test compares them.
"""

from __future__ import annotations

import functools
from typing import Any

import ale_py.roms
import gymnasium
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

from rlsweep.errors import PreflightError
from rlsweep.rl.emulators import Emulators
from rlsweep.rl.games import GameRecorder
from rlsweep.rl.rewards import ClipRewards
from rlsweep.spec.env import EnvSpec

NOOP = 0

FRAME_STACK = "frame_stack"
"""Key of a vector environment's metadata, and of DQN's `replay_buffer_config`: how many frames an observation
stacks, the newest last."""


def make_atari(env: EnvSpec, num_envs: int, *, num_threads: int = 1, render: bool = False) -> VectorEnv:
    """`num_envs` ALE games, recorded, with the life-loss signal and clipping that `env` asks for.

    Args:
        env: an ALE game (`env.is_atari`).
        num_envs: games stepped together.
        num_threads: emulator threads of the native backend.
        render: Gymnasium's backend with RGB frames from `render()`; the native one has none.

    Returns:
        A vector environment in NEXT_STEP autoreset mode. Observations are uint8, (stack, H, W) or
        (stack, H, W, 3); one frame (H, W, 1) each where RLlib's connectors do the stacking.
    """
    needs_gymnasium = render or env.mode is not None or env.difficulty is not None
    base = (
        _gymnasium_games(env, num_envs, render)
        if needs_gymnasium
        else _native_games(env, num_envs, num_threads)
    )
    games: VectorEnv = GameRecorder(base)
    if env.atari.terminal_on_life_loss:
        games = LifeLossEpisodes(games, fire_action=fire_action(env))
    if env.atari.clip_rewards:
        games = ClipRewards(games)
    if env.stacks_by_connector:
        return SingleFrames(games)
    games.metadata = {**games.metadata, FRAME_STACK: env.atari.frame_stack}
    return games


def rom_name(env_id: str) -> str:
    """`ALE/MsPacman-v5` -> `ms_pacman`, the name that the native environment goes by."""
    return str(gymnasium.spec(env_id).kwargs["game"])


def fire_action(env: EnvSpec) -> int | None:
    """The index of FIRE in the game's action set; None where the game does not need it.

    A game needs FIRE when it is the second of at least three actions (Baselines' `FireResetEnv`); in the full
    action set it always is.
    """
    meanings = _action_meanings(env.id, env.atari.full_action_space)
    return 1 if len(meanings) >= 3 and meanings[1] == "FIRE" else None


@functools.cache
def _action_meanings(env_id: str, full_action_space: bool) -> tuple[str, ...]:
    with gymnasium.make(env_id, full_action_space=full_action_space) as game:
        return tuple(game.unwrapped.get_action_meanings())


class LifeLossEpisodes(VectorWrapper):
    """A lost life ends the learner's episode, while the game goes on.

    Mnih et al. 2015 end episodes so; Baselines' `EpisodicLifeEnv` is the usual form. The native
    environment's own switches restart the game or drop a reward (docs/architecture.md), so:

    - The step that loses a life is reported as `terminated`.
    - RLlib takes the following step for the reset (NEXT_STEP autoreset): its action is replaced by FIRE
      (NOOP where the game has none), its observation starts the new episode. The recorder below
      counts its reward for the game's score.
    - If the game ends in that very step, the next game is started at once, so that the new episode
      begins with that game's first frame and not with the old one's last.
    """

    def __init__(self, env: VectorEnv, fire_action: int | None) -> None:
        super().__init__(env)
        self._opening_action = NOOP if fire_action is None else fire_action
        self._lives = np.zeros(self.num_envs, dtype=np.int64)
        self._lost_life = np.zeros(self.num_envs, dtype=bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observations, infos = self.env.reset(seed=seed, options=options)
        self._lives = np.array(infos["lives"], dtype=np.int64)
        self._lost_life[:] = False
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        opening = self._lost_life
        actions = np.where(opening, self._opening_action, actions)
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        lives = np.array(infos["lives"], dtype=np.int64)

        ended_in_opening = opening & (terminations | truncations)
        if ended_in_opening.any():
            observations, fresh = self.env.reset(options={"reset_mask": ended_in_opening})
            lives = np.where(ended_in_opening, fresh["lives"], lives)
        terminations = terminations & ~opening
        truncations = truncations & ~opening
        rewards = np.where(opening, 0.0, rewards)

        self._lost_life = (lives < self._lives) & (lives > 0) & ~terminations & ~truncations & ~opening
        self._lives = lives
        return observations, rewards, terminations | self._lost_life, truncations, infos


class SingleFrames(VectorWrapper):
    """Observations (1, H, W) as (H, W, 1), the layout that RLlib's FrameStacking connectors take."""

    def __init__(self, env: VectorEnv) -> None:
        super().__init__(env)
        _, height, width = env.single_observation_space.shape or ()
        self.single_observation_space = gymnasium.spaces.Box(0, 255, (height, width, 1), np.uint8)
        self.observation_space = gymnasium.vector.utils.batch_space(
            self.single_observation_space, self.num_envs
        )

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observations, infos = self.env.reset(seed=seed, options=options)
        return np.moveaxis(observations, 1, -1), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        return np.moveaxis(observations, 1, -1), rewards, terminations, truncations, infos


class StackedFrames(VectorWrapper):
    """(H, W, 1) -> (H, W, stack), zero before an episode's first frame: RLlib's FrameStacking connector.

    As there, a new episode (a lost life too, where that ends one) starts a new stack.
    """

    def __init__(self, env: VectorEnv, num_frames: int) -> None:
        super().__init__(env)
        height, width, _ = env.single_observation_space.shape or ()
        shape = (height, width, num_frames)
        self.single_observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self.observation_space = gymnasium.vector.utils.batch_space(
            self.single_observation_space, self.num_envs
        )
        self._stack = np.zeros((self.num_envs, *shape), dtype=np.uint8)
        self._is_over = np.zeros(self.num_envs, dtype=bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observations, infos = self.env.reset(seed=seed, options=options)
        self._is_over[:] = True
        return self._push(observations), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        stacked = self._push(observations)
        self._is_over = np.logical_or(terminations, truncations)
        return stacked, rewards, terminations, truncations, infos

    def _push(self, frames: np.ndarray) -> np.ndarray:
        kept = np.where(self._is_over[:, None, None, None], 0, self._stack[..., 1:])
        self._is_over[:] = False
        self._stack = np.concatenate([kept, frames], axis=-1)
        return self._stack


def _native_games(env: EnvSpec, num_envs: int, num_threads: int) -> VectorEnv:
    settings = env.atari
    height, width = settings.resolution
    make = functools.partial(
        AtariVectorEnv,
        rom_name(env.id),
        num_envs,
        num_threads=num_threads,
        max_num_frames_per_episode=settings.max_frames,
        repeat_action_probability=settings.sticky_actions,
        full_action_space=settings.full_action_space,
        img_height=height,
        img_width=width,
        grayscale=settings.grayscale,
        stack_num=1 if env.stacks_by_connector else settings.frame_stack,
        frameskip=settings.frame_skip,
        maxpool=settings.frame_skip > 1,
        noop_max=settings.noop_max,
        use_fire_reset=True,
        episodic_life=False,  # restarts the whole game at a lost life
        life_loss_info=False,
        reward_clipping=False,
    )
    return Emulators((make.args, *sorted(make.keywords.items())), make)


def _check_mode(env: EnvSpec) -> None:
    """Raises PreflightError where the game has no such mode or difficulty."""
    ale = ale_py.ALEInterface()
    ale.loadROM(ale_py.roms.get_rom_path(rom_name(env.id)))
    choices = {
        "mode": (env.mode, ale.getAvailableModes()),
        "difficulty": (env.difficulty, ale.getAvailableDifficulties()),
    }
    for name, (chosen, available) in choices.items():
        if chosen is not None and chosen not in available:
            allowed = ", ".join(str(int(choice)) for choice in available)
            raise PreflightError(f"{env.id} has no {name} {chosen}; allowed: {allowed}", key=f"env.{name}")


def _gymnasium_games(env: EnvSpec, num_envs: int, render: bool) -> VectorEnv:
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no banner for each game
    _check_mode(env)
    return SyncVectorEnv(
        [lambda: _gymnasium_game(env, render) for _ in range(num_envs)],
        autoreset_mode=AutoresetMode.NEXT_STEP,
    )


def _gymnasium_game(env: EnvSpec, render: bool) -> gymnasium.Env[Any, Any]:
    gymnasium.register_envs(ale_py)
    settings = env.atari
    height, width = settings.resolution
    choices: dict[str, Any] = {"mode": env.mode, "difficulty": env.difficulty}
    game = gymnasium.make(
        env.id,
        frameskip=1,
        repeat_action_probability=settings.sticky_actions,
        full_action_space=settings.full_action_space,
        max_num_frames_per_episode=settings.max_frames,
        render_mode="rgb_array" if render else None,
        **{name: choice for name, choice in choices.items() if choice is not None},
    )
    opening = fire_action(env)
    if opening is not None:
        game = _FireReset(game, opening)
    game = AtariPreprocessing(
        game,
        noop_max=settings.noop_max,
        frame_skip=settings.frame_skip,
        screen_size=(width, height),
        grayscale_obs=settings.grayscale,
    )
    stack = 1 if env.stacks_by_connector else settings.frame_stack
    return FrameStackObservation(game, stack, padding_type="zero")


class _FireReset(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Presses FIRE for one frame at the start of a game, before the no-ops, as the native backend does."""

    def __init__(self, env: gymnasium.Env[Any, Any], fire_action: int) -> None:
        super().__init__(env)
        self._fire_action = fire_action

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        observation, _, _, _, info = self.env.step(self._fire_action)
        return observation, info
