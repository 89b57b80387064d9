"""Several runs as one, to be compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analysis.history import RunHistory, TrialHistory
from rlsweep.errors import UsageError


def merged(runs: Sequence[RunHistory]) -> RunHistory:
    """All trials in one history; configurations are called by their run's name and their own.

    Raises:
        UsageError: two runs have the same name, or are judged by different objectives.
    """
    names = [run.manifest.name for run in runs]
    if len(set(names)) < len(names):
        raise UsageError(f"a run stands twice in {', '.join(names)}")
    first = runs[0].objective
    for run in runs[1:]:
        if (run.objective.key, run.objective.goal) != (first.key, first.goal):
            raise UsageError(
                f"{names[0]} is judged by {first.goal} {first.key}, {run.manifest.name} by "
                f"{run.objective.goal} {run.objective.key}: they cannot be compared"
            )
    manifest = replace(
        runs[0].manifest,
        name=" and ".join(names),
        spec={},
        objectives=[first],
        trials=[trial.record for run in runs for trial in _named(run)],
    )
    return RunHistory(manifest, tuple(trial for run in runs for trial in _named(run)))


def _named(run: RunHistory) -> list[TrialHistory]:
    """The trials of a run, its name before theirs and their configurations'."""
    name = run.manifest.name
    return [
        replace(
            trial,
            record=replace(
                trial.record,
                id=f"{name}/{trial.record.id}",
                config_id=f"{name}: {trial.record.config_id}",
                values={"run": name, **trial.record.values},
            ),
        )
        for trial in run.trials
    ]
