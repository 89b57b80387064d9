"""The keys of the old form: what became of their names, their defaults, and why some have no place any more.

Names, defaults and meanings are those of RLlib's sources: `rllib/agents/*`, `rllib/models/catalog.py` and
`rllib/env/atari_wrappers.py` up to Ray 2.0, `rllib/algorithms/*` after it.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from rlsweep.spec.source import KeyPath

ALGORITHMS = {"PPO": "ppo", "APPO": "appo", "IMPALA": "impala", "DQN": "dqn"}
"""`run` -> `algorithm`."""

SECTIONS: dict[KeyPath, tuple[str, ...]] = {
    (): ("config", "stop", "checkpoint_config"),
    ("config",): ("model", "env_config", "exploration_config", "replay_buffer_config", "evaluation_config"),
}
"""Where a section stands -> the sections in it whose keys are read one by one."""

# Old defaults that differ from the new ones, or that another key is reckoned with.
TRAIN_BATCH_SIZE = {"ppo": 4000, "appo": 500, "impala": 500, "dqn": 32}
MINIBATCH_SIZE = {"ppo": 128}
DQN_FRAGMENT_LENGTH = 4
DQN_ITERATION_LENGTH = 1000
BUFFER_SIZE = 50_000
INITIAL_EPSILON, FINAL_EPSILON, EXPLORATION_FRACTION, SCHEDULE_MAX_TIMESTEPS = 1.0, 0.02, 0.1, 100_000
FCNET_HIDDENS, FCNET_ACTIVATION = [256, 256], "tanh"
DIM, STACK = 84, 4

INITIAL_EPSILONS = ("exploration_config.initial_epsilon", "initial_epsilon")
FINAL_EPSILONS = ("exploration_config.final_epsilon", "exploration_final_eps", "final_epsilon")
EPSILON_LENGTHS = ("exploration_config.epsilon_timesteps", "epsilon_timesteps")
"""The parts of DQN's schedule of epsilon, as they were called over the years."""

UNIFORM, PRIORITIZED = "EpisodeReplayBuffer", "PrioritizedEpisodeReplayBuffer"
"""The replay buffers of the new API stack."""

NAMES: dict[str, tuple[str, ...]] = {
    path: tuple(names.split())
    for path, names in {
        "training.lr": "lr_schedule",
        "training.entropy_coeff": "entropy_coeff_schedule",
        "training.lambda_": "lambda",
        "training.num_epochs": "num_sgd_iter",
        "training.grad_clip": "grad_norm_clipping",
        "training.num_steps_sampled_before_learning_starts": "learning_starts"
        " replay_buffer_config.learning_starts replay_buffer_config.min_size_for_sampling",
        "training.replay_buffer_config.capacity": "buffer_size replay_buffer_config.capacity",
        "training.replay_buffer_config.alpha": "prioritized_replay_alpha"
        " replay_buffer_config.prioritized_replay_alpha replay_buffer_config.alpha",
        "training.replay_buffer_config.beta": "prioritized_replay_beta"
        " replay_buffer_config.prioritized_replay_beta replay_buffer_config.beta",
        "env.clip_rewards": "clip_rewards",
        "env.resolution": "model.dim",
        "env.frame_stack": "model.framestack",
        "env.frame_skip": "env_config.frameskip",
        "env.sticky_actions": "env_config.repeat_action_probability",
        "env.full_action_space": "env_config.full_action_space",
        "env.mode": "env_config.mode",
        "env.difficulty": "env_config.difficulty",
        "network.fcnet_activation": "model.fcnet_activation",
        "network.conv_activation": "model.conv_activation",
        "network.head_fcnet_activation": "model.post_fcnet_activation",
        "network.vf_share_layers": "model.vf_share_layers vf_share_layers",
        "resources.env_runners": "num_workers num_rollout_workers num_env_runners",
        "resources.envs_per_env_runner": "num_envs_per_worker num_envs_per_env_runner",
        "resources.cpus_per_env_runner": "num_cpus_per_worker num_cpus_per_env_runner",
        "resources.cpus_for_main_process": "num_cpus_for_driver num_cpus_for_local_worker"
        " num_cpus_for_main_process",
        "resources.learners": "num_learner_workers num_learners",
        "resources.gpus_per_learner": "num_gpus_per_learner_worker num_gpus_per_learner",
        "resources.placement": "placement_strategy",
        "checkpoints.every": "checkpoint_freq checkpoint_config.checkpoint_frequency",
        "checkpoints.keep": "keep_checkpoints_num checkpoint_config.num_to_keep",
        "evaluation.every": "evaluation_interval",
        "evaluation.games": "evaluation_duration evaluation_num_episodes",
        "failures.max_retries": "max_failures",
        "seeds": "num_samples repeat",
        "stop.env_steps": "stop.timesteps_total stop.agent_timesteps_total stop.num_env_steps_sampled"
        " stop.num_env_steps_sampled_lifetime stop.env_runners/num_env_steps_sampled_lifetime"
        " stop.num_agent_steps_sampled stop.num_agent_steps_sampled_lifetime",
        "stop.time": "stop.time_total_s",
        "stop.iterations": "stop.training_iteration",
        "stop.score": "stop.episode_reward_mean stop.sampler_results/episode_reward_mean"
        " stop.env_runners/episode_reward_mean stop.env_runners/episode_return_mean",
    }.items()
}
"""Dotted path of a new key -> the names that it had over the years."""

RENAMED = {name: path for path, names in NAMES.items() for name in names}

REFUSED = {
    "model.use_lstm": "memory",
    "model.use_attention": "memory",
    "model.custom_model": "code of its own",
    "multiagent": "other agents",
    "policies": "other agents",
}
"""Keys that make another experiment of it unless they are off, and what they ask for."""

NO_PLACE = {
    "the new API stack has no loader threads": "num_data_loader_buffers num_multi_gpu_tower_stacks",
    "RLlib queues requests and batches itself": "max_*requests_in_flight_per_* minibatch_buffer_size"
    " num_aggregat* learner_queue_* sample_async",
    "RLlib cuts fragments itself": "rollout_fragment_length sample_batch_size",
    "IMPALA and APPO replay nothing here": "replay_proportion replay_buffer_num_slots replay_ratio",
    "the optimizer is Adam, with a learning rate alone": "adam_epsilon opt_type optimizer decay momentum"
    " epsilon _lr_vf _separate_vf_optimizer _tf_policy_handles_more_than_one_loss",
    "torch is the only framework": "framework use_pytorch eager* *tf_session_args torch_*",
    "a switch of the old RLlib": "enable_* _* simple_optimizer preprocessor_pref",
    "episodes are always cut at the end of a batch": "batch_mode",
    "observations are not filtered": "observation_filter synchronize_filters compress_observations",
    "the network scales the pixels": "model.zero_mean",
    "the old Atari wrapper made gray frames in any case": "model.grayscale",
    "no network here has this": "model.* free_log_std",
    "the new API stack has no noise in the parameters": "parameter_noise param_noise*",
    "an iteration's length only decides how often a row is written": "timesteps_per_iteration min_iter_time_s"
    " min_*_per_iteration min_*_per_reporting",
    "the score is the mean of the last 100 games": "metrics_* collect_metrics_timeout",
    "beta stays as it is on the new API stack": "beta_annealing_fraction final_prioritized_replay_beta"
    " prioritized_replay_beta_annealing_timesteps *.final_prioritized_replay_beta *_annealing_timesteps",
    "the new replay buffers do not have this": "replay_buffer_config.* prioritized_replay_* replay_*"
    " worker_side_prioritization store_buffer_in_checkpoints",
    "a policy explores by sampling its actions, DQN by epsilon": "exploration_* explore per_worker_*",
    "the new losses do not have this": "vtrace_drop_last_ts shuffle_sequences standardize_fields"
    " target_update_frequency after_train_step before_learn_on_batch",
    "an ALE game has its settings by name": "env_config.*",
    "the environment has limits of its own": "horizon soft_horizon no_done_at_end clip_actions"
    " normalize_actions",
    "an env runner steps its environments itself": "remote_* disable_env_checking",
    "Ray restarts what dies": "ignore_worker_failures recreate_failed_* restart_failed_*"
    " max_num_worker_restarts",
    "env runners sample on the CPU": "num_gpus_per_worker num_gpus_per_env_runner",
    "a learner takes a GPU, or one CPU": "num_cpus_per_learner*",
    "a trial's bundles follow from resources": "trial_resources resources_per_trial custom_resources_*"
    " memory* object_store_memory*",
    "the best checkpoints and the last one are always kept": "checkpoint_*",
    "evaluation has every, games and greedy": "evaluation_* in_evaluation custom_eval*",
    "no row has this key": "stop.*",
    "everything is written under runs/": "local_dir storage_path upload_dir sync_* export_*",
    "a spec holds no Python": "callbacks multiagent policies policy_mapping_fn",
    "RLlib's own logging is not configured here": "log_* logger_* loggers monitor fake_sampler",
    "a sweep learns from what it samples": "input* output* postprocess_inputs shuffle_buffer_size",
    "a release test's expectation": "pass_criteria",
}
"""Why there is no new key -> the old ones, as patterns; the first that fits counts."""


def reason_without_place(name: str) -> str:
    """Why an old key has no new one; empty for a key that nobody knows."""
    fitting = (
        reason for reason, patterns in NO_PLACE.items() if any(fnmatchcase(name, p) for p in patterns.split())
    )
    return next(fitting, "")
