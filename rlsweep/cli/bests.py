"""How `rlsweep best` and `rlsweep rollout` write what they found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlsweep.store.layout import RunLayout

if TYPE_CHECKING:
    from rlsweep.run.export import Best
    from rlsweep.run.rollout import Summary


def best_text(found: Best, place: str) -> str:
    """Two lines: the configuration over its seeds, and its checkpoint with the reason."""
    configuration, checkpoint = found.configuration, found.checkpoint
    score = f"{checkpoint.metric} {configuration.value:.2f}, mean of {configuration.seeds_text}"
    return (
        f"{place}: {configuration.config_id} ({score})\n"
        f"from: {checkpoint.path} ({checkpoint.metric} {checkpoint.value:.2f} after "
        f"{checkpoint.env_steps:,} env steps; {found.reason})"
    )


def best_data(found: Best) -> dict[str, Any]:
    """The same for programs."""
    configuration, checkpoint = found.configuration, found.checkpoint
    return {
        "configuration": configuration.config_id,
        "last_mean": configuration.value,
        "seeds": [trial.seed for trial in configuration.trials],
        "trial": checkpoint.trial_id,
        "checkpoint": str(checkpoint.path),
        checkpoint.metric: checkpoint.value,
        "env_steps": checkpoint.env_steps,
        "reason": found.reason,
    }


def rollout_data(folder: Path, scores: list[float], summary: Summary, video: Path | None) -> dict[str, Any]:
    """A rollout for programs."""
    return {
        "bundle": str(folder),
        "scores": scores,
        "mean": summary.mean.value,
        "mean_low": summary.mean.low,
        "mean_high": summary.mean.high,
        "std": summary.std,
        "median": summary.median,
        "human_normalized": summary.human_normalized,
        "video": str(video) if video else None,
    }


def frames_per_env_step(layout: RunLayout) -> int:
    """Of a run's environment, by which `--at 40M frames` is divided."""
    from rlsweep.spec import EnvSpec
    from rlsweep.store.manifest import Manifest

    return EnvSpec.model_validate(Manifest.read(layout).spec["env"]).frames_per_env_step
