"""`FragmentEnvRunner`: RLlib's env runner for a single agent, working on whole arrays.

The stock runner hands every observation of every environment through two connector pipelines and into an
episode object, step by step. Here a step is one forward pass and one step of the vector environment, and
episodes are made once per sample. The transitions are the same, bit for bit (tests/unit/test_sampling.py).
"""

from __future__ import annotations

import time

import gymnasium
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.metrics import ENV_RESET_TIMER, ENV_STEP_TIMER, RLMODULE_INFERENCE_TIMER, WEIGHTS_SEQ_NO
from ray.rllib.utils.spaces.space_utils import clip_action, unsquash_action

from rlsweep.rl.atari import FRAME_STACK
from rlsweep.rl.fragments import Rows
from rlsweep.rl.reuse import ReusableEnvRunner
from rlsweep.store.rows import SAMPLE_SECONDS, SAMPLE_WAIT_SECONDS

_STEPWISE_HOOKS = ("on_episode_created", "on_episode_start", "on_episode_step", "on_episode_end")


class FragmentEnvRunner(ReusableEnvRunner):
    """Samples a fragment of every environment at once.

    Where a callback wants to see single steps or episodes as they go (`on_episode_…`), and where whole
    episodes are asked for, RLlib's own loop runs. Infos of steps are not kept in the episodes.
    """

    _needs_initial_reset: bool
    _ended: float | None = None

    def make_env(self) -> None:
        super().make_env()
        if self.env is None:  # it samples nothing and only knows the spaces
            return
        # RLlib makes a list of dictionaries of every step's infos; nobody reads them here.
        self._vector_env: VectorEnv = self.env.env
        self._rows = Rows(
            self.env.single_observation_space,
            self.env.single_action_space,
            self.num_envs,
            lookback=self.config.episode_lookback_horizon,
            frame_stack=(self.env.metadata or {}).get(FRAME_STACK, 1),
        )

    def _sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[SingleAgentEpisode]:
        if num_timesteps is None or self._is_watched_stepwise():
            return super()._sample(  # type: ignore[no-any-return]
                num_timesteps=num_timesteps,
                num_episodes=num_episodes,
                explore=explore,
                random_actions=random_actions,
                force_reset=force_reset,
            )
        started = self._begin_sample()
        if force_reset or self._needs_initial_reset:
            self._reset_all()
        # Inside of an outer autocast context, itself off, the torso's own keeps its bf16 weights over steps,
        # as long as no other thread of the process leaves one: autocast's cache is the process's.
        with torch.autocast(self._device.type, enabled=False):
            env_steps = self._run(num_timesteps, explore, random_actions)
        fragment = self._cut(env_steps)
        self._ended = time.perf_counter()
        self.metrics.log_value(SAMPLE_SECONDS, self._ended - started, reduce="mean", window=1)
        return fragment

    def _begin_sample(self) -> float:
        """The moment at which a sample begins; notes how long there was nothing to do before it."""
        started = time.perf_counter()
        if self._ended is not None:
            self.metrics.log_value(SAMPLE_WAIT_SECONDS, started - self._ended, reduce="mean", window=1)
        return started

    def _run(self, num_timesteps: int, explore: bool, random_actions: bool) -> int:
        """Step until so many env steps are made; how many there were."""
        self.module.eval()  # else RLlib switches every layer to evaluation and back in each step
        env_steps, seconds = 0, {RLMODULE_INFERENCE_TIMER: 0.0, ENV_STEP_TIMER: 0.0}
        while env_steps < num_timesteps:
            started = time.perf_counter()
            if random_actions:
                outputs = {Columns.ACTIONS: self.env.action_space.sample()}
            else:
                outputs = self._forward(explore, env_steps)
            decided = time.perf_counter()
            env_steps += self._step(outputs)
            seconds[RLMODULE_INFERENCE_TIMER] += decided - started
            seconds[ENV_STEP_TIMER] += time.perf_counter() - decided
        for timer, value in seconds.items():
            self.metrics.log_value(timer, value, reduce="mean", window=1)
        return env_steps

    def _reset_all(self) -> None:
        started = time.perf_counter()
        seed = self._seed if self._needs_initial_reset else None
        self._observations, _ = self._vector_env.reset(seed=seed)
        self._rows.begin(self._observations)
        self._needs_initial_reset = False
        self.metrics.log_value(ENV_RESET_TIMER, time.perf_counter() - started, reduce="mean", window=1)

    def _forward(self, explore: bool, env_steps: int) -> dict[str, np.ndarray]:
        """Actions for the current observations, and what else the module gives for each (logits, logp)."""
        batch = {Columns.OBS: torch.from_numpy(np.ascontiguousarray(self._observations)).to(self._device)}
        if explore:
            runners = self.config.num_env_runners or 1
            lifetime = (self.num_env_steps_sampled_lifetime // runners + env_steps) * runners
            outputs = self.module.forward_exploration(batch, t=lifetime)
        else:
            outputs = self.module.forward_inference(batch)
        if Columns.ACTIONS not in outputs:
            self._decide(outputs, explore)
        return {name: values.cpu().numpy() for name, values in outputs.items()}

    def _decide(self, outputs: dict[str, torch.Tensor], explore: bool) -> None:
        """Actions and their log-probabilities out of the distribution's inputs, as RLlib's GetActions."""
        inputs = outputs[Columns.ACTION_DIST_INPUTS]
        if explore:
            distribution = self.module.get_exploration_action_dist_cls().from_logits(inputs)
        else:
            distribution = self.module.get_inference_action_dist_cls().from_logits(inputs).to_deterministic()
        outputs[Columns.ACTIONS] = actions = distribution.sample()
        if Columns.ACTION_LOGP not in outputs:
            outputs[Columns.ACTION_LOGP] = distribution.logp(actions)

    def _step(self, outputs: dict[str, np.ndarray]) -> int:
        """One step of the vector environment; how many env steps that was."""
        actions = self._for_env(outputs[Columns.ACTIONS])
        self._observations, rewards, terminated, truncated, _ = self._vector_env.step(actions)
        outputs[WEIGHTS_SEQ_NO] = np.full(self.num_envs, self._weights_seq_no)
        return self._rows.add(self._observations, rewards, terminated, truncated, outputs)

    def _for_env(self, actions: np.ndarray) -> np.ndarray:
        """Actions in the bounds of a Box, as RLlib's NormalizeAndClipActions."""
        space = self.env.single_action_space
        if isinstance(space, gymnasium.spaces.Discrete):
            return actions
        if self.config.normalize_actions:
            return unsquash_action(actions, space)  # type: ignore[no-any-return]
        return clip_action(actions, space) if self.config.clip_actions else actions

    def _cut(self, env_steps: int) -> list[SingleAgentEpisode]:
        fragment = self._rows.cut()
        for episode in fragment.finished:
            self._log_episode_metrics(episode.env_steps, episode.episode_return, episode.seconds)
        self._log_env_steps(metric=self._metrics_num_env_steps_sampled, num_steps=env_steps)
        self._increase_sampled_metrics(env_steps, len(fragment.finished))
        # RLlib says how many there were once an iteration; exploration schedules go by them in between too.
        self.num_env_steps_sampled_lifetime += env_steps * (self.config.num_env_runners or 1)
        return fragment.episodes

    def _is_watched_stepwise(self) -> bool:
        """Whether some callback, or a function given in its stead, overrides a hook of steps or episodes."""
        return any(
            getattr(self.config, f"callbacks_{hook}", None)
            or any(getattr(type(one), hook) is not getattr(RLlibCallback, hook) for one in self._callbacks)
            for hook in _STEPWISE_HOOKS
        )
