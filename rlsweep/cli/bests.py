"""How `rlsweep best` and `rlsweep rollout` write what they found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlsweep.errors import UsageError
from rlsweep.store.layout import RunLayout

if TYPE_CHECKING:
    from rlsweep.run.export import Best
    from rlsweep.run.game_statistics import Summary


def best_text(found: Best, place: str) -> str:
    """Two lines: the configuration over its seeds, and its checkpoint with the reason."""
    configuration, checkpoint = found.configuration, found.checkpoint
    objective = found.objective
    score = f"{objective.key} {configuration.value:.2f}, {objective.over_seeds} of {configuration.seeds_text}"
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
        "objective": found.objective.key,
        "over_seeds": found.objective.over_seeds,
        "value": configuration.value,
        "seeds": [trial.seed for trial in configuration.trials],
        "trial": checkpoint.trial_id,
        "checkpoint": str(checkpoint.path),
        checkpoint.metric: checkpoint.value,
        "env_steps": checkpoint.env_steps,
        "reason": found.reason,
    }


def rollout_data(place: str, scores: list[float], summary: Summary, video: Path | None) -> dict[str, Any]:
    """A rollout for programs."""
    return {
        "bundle": place,
        "scores": scores,
        "mean": summary.mean.value,
        "mean_low": summary.mean.low,
        "mean_high": summary.mean.high,
        "std": summary.std,
        "median": summary.median,
        "human_normalized": summary.human_normalized,
        "video": str(video) if video else None,
    }


def rollouts_text(
    names: Sequence[str], summaries: Sequence[Summary], differences: Sequence[str], video: Path | None
) -> str:
    """Lines: what the games say of each policy, how the others differ from the first one, the film.

    Args:
        names: of the policies; one alone is not named.
        summaries: of their games, in the order of the names.
        differences: of the first one from each other, as words.
        video: of the games.
    """
    lines = [
        f"{name}: {one}" if len(names) > 1 else str(one) for name, one in zip(names, summaries, strict=True)
    ]
    lines += [f"{names[0]} against {name}: {text}" for name, text in zip(names[1:], differences, strict=True)]
    return "\n".join([*lines, *([f"video: {video}"] if video is not None else [])])


def env_steps_at(at: str, layout: RunLayout) -> int:
    """`--at 1M`, or `--at 40M frames` of a run's environment.

    Raises:
        UsageError: it is no number of env steps.
    """
    from rlsweep.spec import EnvSpec
    from rlsweep.spec.quantities import parse_env_steps
    from rlsweep.store.manifest import Manifest

    env = EnvSpec.model_validate(Manifest.read(layout).spec["env"])
    try:
        return int(parse_env_steps(at, env.frames_per_env_step))
    except ValueError as error:
        raise UsageError(f"--at {at}: {error}") from None
