"""Whole-game scores of the env runners, as RLlib metrics."""

from __future__ import annotations

from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback

GAME_SCORES = "game_scores"
GAME_ENV_STEPS = "game_env_steps"
GAME_LIVES_LOST = "game_lives_lost"
GAME_PHASE_ENTRIES = "game_phase_entries"
"""Metric keys: one item per game that ended since the last iteration."""


class GameScores(RLlibCallback):
    """Hands on every whole game that ended in a sample: its unclipped score, its length, the lives
    that were lost, and the phase of a curriculum that it began in.

    The environment must hold a recorder with `pop_games()` (rlsweep's environments do). RLlib's own
    `episode_return_mean` is not a game score: an episode may be one life, with clipped rewards.
    """

    def on_sample_end(self, *, env_runner: Any, metrics_logger: Any, samples: Any, **kwargs: Any) -> None:
        for game in _recorder(env_runner.env).pop_games():
            metrics_logger.log_value(GAME_SCORES, game.score, reduce="item_series")
            metrics_logger.log_value(GAME_ENV_STEPS, game.env_steps, reduce="item_series")
            metrics_logger.log_value(GAME_LIVES_LOST, game.lives_lost, reduce="item_series")
            metrics_logger.log_value(GAME_PHASE_ENTRIES, game.phase_entry, reduce="item_series")


def _recorder(env: Any) -> Any:
    layer = env
    while not hasattr(layer, "pop_games"):
        layer = layer.env
    return layer
