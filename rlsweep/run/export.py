"""`export`: the winner's best checkpoint -> a policy bundle."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from analysis.comparison import ConfigurationResult, compare, winner
from analysis.history import RunHistory, read_summary
from rlsweep.errors import RunError, UsageError
from rlsweep.rl.bundle import DESCRIPTION, load_bundle
from rlsweep.store.checkpoint import read_row, verify
from rlsweep.store.folders import fetch
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import Objective, short_game
from rlsweep.store.remote_checkpoints import refresh_checkpoints
from rlsweep.store.rows import AUC, ENV_STEPS, SCORE, SCORE_VALID


@dataclass(frozen=True)
class BestCheckpoint:
    """A checkpoint and why it was chosen.

    Attributes:
        trial_id: the trial it belongs to.
        path: of the checkpoint folder.
        metric: row key that checkpoints are chosen by.
        value: of it at that checkpoint; may be NaN.
        env_steps: at that checkpoint.
        is_valid: the value is a number, taken over enough games.
    """

    trial_id: str
    path: Path
    metric: str
    value: float
    env_steps: int
    is_valid: bool


@dataclass(frozen=True)
class Best:
    """A configuration of a run, and the checkpoint that stands for it.

    Attributes:
        objective: what configurations are compared by.
        configuration: over its seeds.
        checkpoint: the chosen one among its trials.
        reason: why that one, in words.
    """

    objective: Objective
    configuration: ConfigurationResult
    checkpoint: BestCheckpoint
    reason: str


def best_of(
    layout: RunLayout,
    *,
    top: int = 1,
    seed: int | None = None,
    game: str | None = None,
    at_env_steps: int | None = None,
) -> list[Best]:
    """The best configurations over their seeds, each with the best of its checkpoints.

    Args:
        layout: of the run.
        top: how many, at most; a configuration without a whole checkpoint has no place.
        seed: choose among the checkpoints of this seed alone; the order of configurations stays that of all.
        game: of several, choose among the checkpoints of this one alone (`Pong`, or its id).
        at_env_steps: the checkpoint nearest to so many env steps, instead of the best one.

    Raises:
        RunError: there is no run, no valid result, no such seed or game, or no whole checkpoint.
    """
    run = read_summary(layout)
    winner(run)  # says what is missing where nothing has a value
    ranked = [one for one in compare(run) if one.valid_seeds]
    trials = [trial for one in ranked for trial in one.trials]
    if seed is not None:
        _check_known(run, "seed", str(seed), {str(trial.seed) for trial in trials})
    if game is not None:
        _check_known(run, "game", short_game(game), {trial.game for trial in trials if trial.game})
    chosen_by = run.objective.on_the_way
    if chosen_by.key == AUC:  # a property of the whole curve, not of a policy
        chosen_by = Objective(SCORE, "maximize")
    found: list[Best] = []
    for configuration in ranked:
        ids = [
            trial.trial_id
            for trial in configuration.trials
            if seed in (None, trial.seed) and (not game or trial.game == short_game(game))
        ]
        candidates = _candidates(layout, ids, chosen_by.key)
        if candidates:
            checkpoint, reason = _chosen(candidates, chosen_by, at_env_steps)
            if layout.remote is not None:
                fetch(layout, checkpoint.path, RunLayout.POLICY)
                verify(checkpoint.path, RunLayout.POLICY)
            found.append(Best(run.objective, configuration, checkpoint, reason))
        if len(found) == top:
            return found
    if not found:
        raise RunError(
            f"no whole checkpoint in {layout.root}" + (f" of seed {seed}" if seed is not None else "")
        )
    return found


def _check_known(run: RunHistory, what: str, wanted: str, known: set[str]) -> None:
    if wanted not in known:
        there = ", ".join(sorted(known)) or "none"
        raise RunError(f"{run.manifest.name} has no {what} {wanted}; there are: {there}")


def _chosen(
    candidates: list[BestCheckpoint], objective: Objective, at_env_steps: int | None
) -> tuple[BestCheckpoint, str]:
    """One of the checkpoints, and why."""
    count = len(candidates)
    among = f"of {count} whole checkpoint{'s' if count > 1 else ''}"
    if at_env_steps is not None:
        nearest = min(candidates, key=lambda found: abs(found.env_steps - at_env_steps))
        return nearest, f"the nearest to {at_env_steps:,} env steps {among}"
    chosen = _best(candidates, maximize=objective.maximize)
    if any(found.is_valid for found in candidates):
        word = "highest" if objective.maximize else "lowest"
        return chosen, f"the {word} {objective.key} {among}"
    return chosen, f"the last {among}: none has a valid {objective.key}"


def _best(candidates: list[BestCheckpoint], *, maximize: bool) -> BestCheckpoint:
    """One whose score was not valid yet (too few games) or is NaN only wins where there is no other."""
    sign = 1.0 if maximize else -1.0
    return max(
        candidates,
        key=lambda found: (found.is_valid, sign * found.value if found.is_valid else found.env_steps),
    )


def _candidates(layout: RunLayout, trial_ids: list[str], metric: str) -> list[BestCheckpoint]:
    for trial_id in trial_ids:  # while it runs, nobody has looked
        refresh_checkpoints(layout, trial_id)
    return [
        found
        for trial_id in trial_ids
        for path in layout.checkpoints(trial_id)
        if (found := _candidate(trial_id, path, metric, is_here=layout.remote is None)) is not None
    ]


def export(checkpoint: BestCheckpoint, target: Path) -> None:
    """Copy the policy of a checkpoint to `target` as a bundle, checked by loading it.

    An earlier bundle there gives way.

    Raises:
        UsageError: `target` is there and is something else.
        BundleError: the policy in it cannot be loaded.
    """
    is_free = not target.exists() or (target / DESCRIPTION).is_file()
    if not is_free and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(f"{target} is there and no policy bundle: name another folder")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(checkpoint.path / RunLayout.POLICY, partial)
    load_bundle(partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)


def _candidate(trial_id: str, path: Path, metric: str, *, is_here: bool) -> BestCheckpoint | None:
    """A checkpoint; None where it is not whole: an older one may be."""
    try:
        if is_here:
            verify(path)
        row = read_row(path)
        value, env_steps = float(row[metric]), int(row[ENV_STEPS])
    except (RunError, LookupError, TypeError, ValueError):
        return None
    is_valid = math.isfinite(value) and bool(row.get(SCORE_VALID, True))
    return BestCheckpoint(trial_id, path, metric, value, env_steps, is_valid)
