"""DQN's replay and its exploration."""

from __future__ import annotations

from functools import partial

from rlsweep.legacy import keys, values
from rlsweep.legacy.draft import Draft
from rlsweep.legacy.experiment import Experiment


def convert_dqn(old: Experiment, new: Draft, is_atari: bool) -> None:
    """The replay buffer, how often a batch is drawn from it, and the schedule of epsilon."""
    _replay(old, new, is_atari)
    _training_intensity(old, new)
    _epsilon(old, new)


def _replay(old: Experiment, new: Draft, is_atari: bool) -> None:
    """DQN's replay buffer, and how often a batch is drawn from it."""
    buffer = "training.replay_buffer_config"
    prioritized = old.take("prioritized_replay", "replay_buffer_config.prioritized_replay", default=True)
    old_type = old.take("replay_buffer_config.type", default="Prioritized")
    if keys.UNIFORM in new.put(f"{buffer}.type", values.buffer_type, prioritized, old_type):
        for name in (*keys.NAMES[f"{buffer}.alpha"], *keys.NAMES[f"{buffer}.beta"]):
            new.drop(old.take(name), "a uniform buffer has no priorities")
    capacity = old.take(*keys.NAMES[f"{buffer}.capacity"], default=keys.BUFFER_SIZE)
    frame_bytes = old.look(*keys.NAMES["env.resolution"], default=keys.DIM).count ** 2
    note = f"{capacity.count * frame_bytes / 1e9:.3g} GB of frames" if is_atari else ""
    new.put(f"{buffer}.capacity", values.same, capacity, note=note)


def _training_intensity(old: Experiment, new: Draft) -> None:
    """How much DQN replays: RLlib now wants to be told."""
    if old.look("training_intensity").is_written:
        return
    fragment = old.take("rollout_fragment_length", "sample_batch_size", default=keys.DQN_FRAGMENT_LENGTH)
    batch = old.look("train_batch_size", default=keys.TRAIN_BATCH_SIZE["dqn"]).count
    n_step = old.look("n_step").count
    runners, envs = (
        old.look(*keys.NAMES[f"resources.{name}"]).count for name in ("env_runners", "envs_per_env_runner")
    )
    change = partial(values.training_intensity, n_step=n_step, batch=batch, num_envs=runners * envs)
    note = f"train_batch_size {batch} / env steps from one batch to the next"
    new.put("training.training_intensity", change, fragment, note=note)


def _epsilon(old: Experiment, new: Draft) -> None:
    """DQN's exploration, in the words of RLlib 0.8 and later or of those before."""
    if old.look("epsilon").is_written:
        return
    initial = old.take(*keys.INITIAL_EPSILONS, default=keys.INITIAL_EPSILON)
    final = old.take(*keys.FINAL_EPSILONS, default=keys.FINAL_EPSILON)
    steps = old.take(*keys.EPSILON_LENGTHS)
    fraction = old.take("exploration_fraction", default=keys.EXPLORATION_FRACTION)
    horizon = old.take("schedule_max_timesteps", default=keys.SCHEDULE_MAX_TIMESTEPS)
    lengths = (steps,) if steps.is_written else (fraction, horizon)
    new.put("training.epsilon", values.epsilon_schedule, initial, final, *lengths)
