"""Scores of a rollout at the trial's run in MLflow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from callbacks.driver.mlflow import MLFLOW_ERRORS, answer_soon
from rlsweep.errors import RunError
from rlsweep.run.rollout import Play
from rlsweep.run.tracking_store import tracking_uri
from rlsweep.store.layout import Storage

FOLDER = "rollout"
METRICS = ("mean", "mean_low", "mean_high", "std", "median", "human_normalized")


def log_rollout(
    run_id: str, play: Play, env_steps: int, result: Mapping[str, Any], video: Path | None, storage: Storage
) -> None:
    """Write metrics `rollout/mean` …, the scores as JSON, and the film.

    Args:
        run_id: of the trial.
        play: how the games were played; it names the artifacts.
        env_steps: of the checkpoint, on the x-axis.
        result: `scores` and METRICS.
        video: of the games.
        storage: whose MLflow store it is.

    Raises:
        RunError: MLflow does not take it.
    """
    answer_soon()
    client = MlflowClient(tracking_uri(storage))
    how = "greedy" if play.greedy else "sampled"
    try:
        for name in METRICS:
            if math.isfinite(result[name]):
                client.log_metric(run_id, f"{FOLDER}/{name}", float(result[name]), step=env_steps)
        name = f"{FOLDER}/{how}-seed{play.seed}-{play.games}-games.json"
        client.log_dict(run_id, {"play": asdict(play), **result}, name)
        if video is not None:
            client.log_artifact(run_id, str(video), FOLDER)
    except MLFLOW_ERRORS as error:
        raise RunError(f"MLflow does not take the rollout: {error}") from None
