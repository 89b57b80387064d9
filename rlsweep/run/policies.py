"""The policy of a trial that runs: written as a bundle, and evaluated as that bundle plays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID

from rlsweep.plan import PlannedTrial
from rlsweep.rl.bundle import Q_SETTINGS, load_bundle, save_bundle
from rlsweep.rl.environments import make_playing_environment
from rlsweep.rl.modules import policy_weights
from rlsweep.rl.phases import phase_of, tell_environment
from rlsweep.rl.play import MAX_PARALLEL_GAMES, play_games

EVALUATION_SEED = 1_000_003
"""Added to the trial's seed: evaluation games are not the training games."""


def save_policy(folder: Path, trial: PlannedTrial, algorithm: Any, *, env_steps: int, score: Any) -> None:
    """Write the policy as it is now.

    Args:
        folder: of the bundle.
        trial: whose policy it is.
        algorithm: RLlib's, which trains it.
        env_steps: of the trial so far.
        score: of its last row; None before the first.
    """
    state = algorithm.learner_group.get_state(
        components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}", inference_only=True
    )
    module_state = state[COMPONENT_LEARNER][COMPONENT_RL_MODULE][DEFAULT_MODULE_ID]
    observation_space, action_space = algorithm.spaces[DEFAULT_MODULE_ID]
    is_q_network = trial.sweep.algorithm == "dqn"
    save_bundle(
        folder,
        trial.sweep,
        policy_weights(module_state, has_critic=not is_q_network),
        observation_shape=observation_space.shape,
        action_space=action_space,
        q_settings={name: getattr(algorithm.config, name) for name in Q_SETTINGS} if is_q_network else {},
        origin={
            "sweep": trial.sweep.name,
            "trial": trial.id,
            "seed": trial.seed,
            "values": trial.values,
            "env_steps": env_steps,
            "score": score,
        },
    )


def evaluate(folder: Path, trial: PlannedTrial, phase: int) -> list[float]:
    """Scores of whole games of a saved policy, as many as `evaluation.games`.

    Args:
        folder: of the bundle.
        trial: its spec says how many games, and in which environment.
        phase: of the curriculum, for `evaluate_in: phase`.
    """
    sweep, bundle = trial.sweep, load_bundle(folder)
    evaluation, curriculum = sweep.evaluation, sweep.curriculum
    if evaluation is None:
        return []
    in_phase = curriculum is not None and curriculum.evaluate_in == "phase"
    environment = make_playing_environment(
        sweep.env_in_phase(phase) if in_phase else bundle.env,
        min(evaluation.games, MAX_PARALLEL_GAMES),
        num_threads=trial.resources.cpus_for_main_process,
    )
    if in_phase:
        tell_environment(environment, phase_of(sweep, phase, entry=0))
    try:
        seed = trial.seed + EVALUATION_SEED
        played = play_games(bundle.policy, environment, evaluation.games, greedy=evaluation.greedy, seed=seed)
    finally:
        environment.close()
    return [game.score for game in played]
