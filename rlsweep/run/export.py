"""`export`: the winner's best checkpoint -> a policy bundle."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from analysis.comparison import ConfigurationResult, winner
from analysis.history import read_run
from rlsweep.errors import RunError
from rlsweep.rl.bundle import load_bundle
from rlsweep.store.checkpoint import read_row, verify
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import Objective
from rlsweep.store.rows import AUC, ENV_STEPS, SCORE, SCORE_VALID


@dataclass(frozen=True)
class BestCheckpoint:
    """A checkpoint and why it was chosen.

    Attributes:
        trial_id: the trial it belongs to.
        path: of the checkpoint folder.
        metric: name and value of the objective at that checkpoint.
        env_steps: at that checkpoint.
    """

    trial_id: str
    path: Path
    metric: str
    value: float
    env_steps: int


@dataclass(frozen=True)
class Best:
    """The winner of a run.

    Attributes:
        configuration: what won, over its seeds.
        checkpoint: the best one among its trials.
        bundle: where its policy was exported to.
    """

    configuration: ConfigurationResult
    checkpoint: BestCheckpoint
    bundle: Path


def export_best(layout: RunLayout) -> Best:
    """Name the winning configuration and export its best checkpoint's policy to `best/`.

    Raises:
        RunError: there is no run, no valid result, or no whole checkpoint.
        BundleError: the policy cannot be loaded.
    """
    run = read_run(layout)
    configuration = winner(run)
    trial_ids = [trial.trial_id for trial in configuration.trials]
    objective = run.objective.on_the_way
    if objective.key == AUC:  # a property of the whole curve, not of a policy
        objective = Objective(SCORE, "maximize")
    checkpoint = best_checkpoint(layout, trial_ids, objective.key, maximize=objective.maximize)
    export(checkpoint, layout.best)
    return Best(configuration, checkpoint, layout.best)


def best_checkpoint(
    layout: RunLayout, trial_ids: list[str], metric: str, *, maximize: bool
) -> BestCheckpoint:
    """The whole checkpoint with the best value of the objective among some trials.

    A checkpoint that is not whole is passed over. One whose score was not valid yet (too few games) or is
    NaN only wins where there is no other.

    Raises:
        RunError: the trials have no whole checkpoint.
    """
    candidates = [
        found
        for trial_id in trial_ids
        for path in layout.checkpoints(trial_id)
        if (found := _candidate(trial_id, path, metric)) is not None
    ]
    if not candidates:
        raise RunError(f"no whole checkpoint in {', '.join(trial_ids)} of {layout.root}")
    sign = 1.0 if maximize else -1.0
    return max(
        candidates,
        key=lambda found: (found[1], sign * found[0].value if found[1] else found[0].env_steps),
    )[0]


def export(checkpoint: BestCheckpoint, target: Path) -> None:
    """Copy the policy of a checkpoint to `target` as a bundle, checked by loading it.

    Raises:
        BundleError: the policy in it cannot be loaded.
    """
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(checkpoint.path / RunLayout.POLICY, partial)
    load_bundle(partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)


def _candidate(trial_id: str, path: Path, metric: str) -> tuple[BestCheckpoint, bool] | None:
    """A checkpoint and whether its value is valid; None where it is not whole: an older one may be."""
    try:
        verify(path)
        row = read_row(path)
        value, env_steps = float(row[metric]), int(row[ENV_STEPS])
    except (RunError, LookupError, TypeError, ValueError):
        return None
    found = BestCheckpoint(trial_id, path, metric, value, env_steps)
    return found, math.isfinite(value) and bool(row.get(SCORE_VALID, True))
