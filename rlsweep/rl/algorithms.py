"""A trial's sweep, seed and resources -> RLlib's AlgorithmConfig (new API stack only)."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.connectors.common.frame_stacking import FrameStacking
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.tune.registry import register_env

from callbacks.worker.game_scores import GameScores
from rlsweep.errors import PreflightError
from rlsweep.plan import TrialResources
from rlsweep.rl.atari import FRAME_STACK
from rlsweep.rl.batches import Advantages, EpisodesToBatch
from rlsweep.rl.callbacks import CALLBACKS, worker_callbacks
from rlsweep.rl.coefficients import SCHEDULES
from rlsweep.rl.environments import make_environment
from rlsweep.rl.learners import DETERMINISTIC, LEARNERS
from rlsweep.rl.modules import NETWORK, RANDOM_ENV_STEPS
from rlsweep.rl.phases import ENV, PHASE, tell_environment
from rlsweep.rl.q_module import NOISE, SOFTMAX_TEMPERATURE
from rlsweep.rl.registry import CONFIG_CLASSES, MODULE_CLASSES
from rlsweep.rl.reuse import NUM_THREADS, ReusableEnvRunner
from rlsweep.rl.sampling import FragmentEnvRunner
from rlsweep.rl.takeover import ALGORITHM_CLASSES
from rlsweep.spec import ASYNCHRONOUS, EnvSpec, Sweep
from rlsweep.spec.hyperparameters import PER_LEARNER, hyperparameters
from rlsweep.spec.schedules import SCHEDULABLE, SCHEDULED_BY_RLLIB, Points, is_schedule, schedule_points

ENV_NAME = "rlsweep"
"""Name in RLlib's registry of the creator that reads the env section from its EnvContext."""

ASYNCHRONOUS_SECONDS_PER_ITERATION = 2.0
"""An iteration of IMPALA or APPO hands over what has arrived; without a least time it would spin."""

SAMPLES_IN_FLIGHT = 2
"""Samples asked of each env runner of IMPALA or APPO at a time: when one is done it has the next to make."""

POLL_SECONDS = 0.02
"""How long IMPALA's and APPO's main loop waits for samples; RLlib's default of 0 keeps a core busy asking."""

NOISY_SIGMA0 = 0.5
"""Fortunato et al. 2018, section 3.2; RLlib's default for `sigma0` too."""

ENV_RUNNER_RESTART_DELAY_SECONDS = 5.0
MAX_ENV_RUNNER_RESTARTS = 10
"""RLlib waits 60 s and restarts 1000 times, which hides an environment that always crashes."""


def build_config(sweep: Sweep, seed: int, resources: TrialResources) -> AlgorithmConfig:
    """The AlgorithmConfig of one trial.

    Args:
        sweep: with the trial's values put in.
        seed: of environments, network and exploration.
        resources: how many env runners and learners, and on what.

    Raises:
        PreflightError: RLlib refuses a value or a combination of values.
    """
    register_env(ENV_NAME, _create_env)
    config = CONFIG_CLASSES[sweep.algorithm](algo_class=ALGORITHM_CLASSES[sweep.algorithm])
    callbacks = worker_callbacks(sweep.callbacks)
    arguments, schedules = _training_arguments(sweep, resources)
    _set_sampling(config, sweep, resources)
    _set_module(config, sweep)
    config.callbacks([GameScores, *callbacks.values()])
    # log_sys_usage: nobody reads it, and its thread takes up to 0.7 s to end.
    config.debugging(seed=seed, log_level="WARN", log_sys_usage=False)
    config.reporting(min_time_s_per_iteration=_seconds_per_iteration(sweep))
    config.framework(torch_skip_nan_gradients=True)  # RLlib's own check is off, FiniteUpdates does it
    own = {SCHEDULES: schedules, CALLBACKS: callbacks, DETERMINISTIC: sweep.deterministic}
    config.learners(
        num_learners=resources.learners,
        num_gpus_per_learner=resources.gpus_per_learner,
        learner_class=LEARNERS[sweep.algorithm],
        learner_config_dict=own,
    )
    try:
        config.training(**arguments)
        _set_batches(config, sweep)
        config.validate()
    except Exception as error:  # RLlib raises whatever its checks stumble over
        reason = str(error).split("To suppress all validation errors")[0].strip()
        message = f"RLlib refuses this configuration: {type(error).__name__}: {reason}"
        raise PreflightError(message, key="training") from error
    return config


def _set_sampling(config: AlgorithmConfig, sweep: Sweep, resources: TrialResources) -> None:
    """Environments, who steps them on what, and what is done about those that die."""
    main_cpus, runner_cpus = resources.reserved_cpus
    env_threads = resources.cpus_per_env_runner if resources.env_runners else resources.cpus_for_main_process
    config.environment(ENV_NAME, env_config={ENV: sweep.env, NUM_THREADS: max(1, int(env_threads))})
    config.env_runners(
        num_env_runners=resources.env_runners,
        num_envs_per_env_runner=resources.envs_per_env_runner,
        num_cpus_per_env_runner=runner_cpus,
        env_runner_cls=ReusableEnvRunner if sweep.env.stacks_by_connector else FragmentEnvRunner,
        gym_env_vectorize_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT,
    )
    config.resources(
        num_cpus_for_main_process=main_cpus,
        custom_resources_for_main_process=dict(resources.custom_resources),
        placement_strategy=resources.placement,
    )
    config.fault_tolerance(
        restart_failed_env_runners=True,
        max_num_env_runner_restarts=MAX_ENV_RUNNER_RESTARTS,
        delay_between_env_runner_restarts_s=ENV_RUNNER_RESTART_DELAY_SECONDS,
    )
    if sweep.algorithm in ASYNCHRONOUS:
        config.env_runners(max_requests_in_flight_per_env_runner=SAMPLES_IN_FLIGHT)
        config.training(timeout_s_sampler_manager=POLL_SECONDS)
    if sweep.env.stacks_by_connector:
        _stack_frames_by_connector(config, sweep.env.atari.frame_stack)


def _set_module(config: AlgorithmConfig, sweep: Sweep) -> None:
    """The network, and what its module explores by."""
    config.rl_module(
        rl_module_spec=RLModuleSpec(module_class=MODULE_CLASSES[sweep.algorithm]),
        model_config={
            NETWORK: sweep.network.model_dump(),
            NOISE: _noise(sweep),
            RANDOM_ENV_STEPS: sweep.exploration.random_env_steps,
            SOFTMAX_TEMPERATURE: sweep.exploration.softmax_temperature,
        },
    )


def _set_batches(config: AlgorithmConfig, sweep: Sweep) -> None:
    """What a train batch is made of; by hyperparameters that are set already."""
    if sweep.algorithm == "dqn":
        _say_what_is_stacked(config, sweep.env)
    elif not sweep.env.stacks_by_connector:
        _batch_by_columns(config, sweep.algorithm)


def _training_arguments(sweep: Sweep, resources: TrialResources) -> tuple[dict[str, Any], dict[str, Points]]:
    """The arguments of `AlgorithmConfig.training()`, and the schedules that our learner follows itself."""
    learners = max(1, resources.learners)
    known = hyperparameters(sweep.algorithm)
    arguments: dict[str, Any] = {}
    schedules: dict[str, Points] = {}
    for name, value in sweep.training.items():
        if isinstance(value, list) and name in SCHEDULABLE[sweep.algorithm]:
            value = {"piecewise": value}  # RLlib's own way to write one
        if not is_schedule(value):
            arguments[name] = _argument(value, learners, is_integer=known[name].is_integer)
            continue
        points = schedule_points(value, sweep.stop.env_steps, sweep.env.frames_per_env_step)
        if name in SCHEDULED_BY_RLLIB:
            arguments[name] = points
        else:
            arguments[name] = points[0][1]
            schedules[name] = points
    if arguments.get("noisy") or sweep.exploration.softmax_temperature:
        arguments.setdefault("epsilon", 0.0)  # as Fortunato et al. 2018, section 3.1
    return arguments, schedules


def _noise(sweep: Sweep) -> float:
    """How large the noise of noisy layers is at first; 0 without them."""
    return float(sweep.training.get("sigma0", NOISY_SIGMA0)) if sweep.training.get("noisy") else 0.0


def _argument(value: Any, learners: int, *, is_integer: bool) -> Any:
    """A value as RLlib takes it: `{per_learner: x}` times the number of learners (linear scaling, Goyal et
    al. 2017), `4e3` as a whole number where only those go."""
    if isinstance(value, dict) and set(value) == {PER_LEARNER}:
        return value[PER_LEARNER] * learners
    return int(value) if is_integer and isinstance(value, float) else value


def _seconds_per_iteration(sweep: Sweep) -> float:
    return ASYNCHRONOUS_SECONDS_PER_ITERATION if sweep.algorithm in ASYNCHRONOUS else 0.0


def _stack_frames_by_connector(config: AlgorithmConfig, num_frames: int) -> None:
    config.env_runners(
        env_to_module_connector=functools.partial(_frame_stacking, num_frames),
        episode_lookback_horizon=num_frames,
    )
    config.learners(learner_connector=functools.partial(_learner_frame_stacking, num_frames))


def _batch_by_columns(config: AlgorithmConfig, algorithm: str) -> None:
    """Our learner pipeline in the place of RLlib's, for the algorithms that learn from episodes."""
    gae = {"gamma": config.gamma, "lambda_": config.lambda_} if algorithm == "ppo" else None
    config.learners(
        learner_connector=functools.partial(_column_connectors, gae),
        add_default_connectors_to_learner_pipeline=False,
    )


def _column_connectors(gae: dict[str, float] | None, *_spaces: Any) -> list[ConnectorV2]:
    return [EpisodesToBatch(), *([Advantages(**gae)] if gae else [])]


def _say_what_is_stacked(config: AlgorithmConfig, env: EnvSpec) -> None:
    """So that the replay buffer stores each frame once."""
    config.training(replay_buffer_config={FRAME_STACK: env.atari.frame_stack if env.is_atari else 1})


def _frame_stacking(num_frames: int, *_env_spaces_device: Any) -> FrameStacking:
    return FrameStacking(num_frames=num_frames)


def _learner_frame_stacking(num_frames: int, *_spaces: Any) -> FrameStacking:
    return FrameStacking(num_frames=num_frames, as_learner_connector=True)


def _create_env(context: dict[str, Any]) -> VectorEnv:
    env: EnvSpec = context[ENV]
    games = make_environment(env, context["num_envs"], num_threads=context[NUM_THREADS])
    if PHASE in context:
        tell_environment(games, context[PHASE])
    return games
