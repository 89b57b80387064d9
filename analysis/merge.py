"""Several runs as one, to be compared with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.history import RunHistory, TrialHistory
from rlsweep.errors import UsageError
from rlsweep.store.manifest import Objective


def merged(runs: Sequence[RunHistory]) -> RunHistory:
    """All trials in one history; configurations are called by their run's name and their own.

    A value that another run swept is taken from the run's own spec, where it stands there.

    Raises:
        UsageError: two runs have the same name, or are judged by different objectives.
    """
    names = [run.manifest.name for run in runs]
    if len(set(names)) < len(names):
        raise UsageError(f"a run stands twice in {', '.join(names)}")
    first = runs[0].objective
    for run in runs[1:]:
        if _judged_by(run.objective) != _judged_by(first):
            raise UsageError(
                f"{names[0]} is judged by: {_judged_by(first)}; {run.manifest.name} by: "
                f"{_judged_by(run.objective)}: they cannot be compared"
            )
    manifests = [run.manifest for run in runs]
    swept = dict.fromkeys(path for run in runs for trial in run.trials for path in trial.record.values)
    trials = [trial for run in runs for trial in _named(run, list(swept))]
    manifest = replace(
        manifests[0],
        name=" and ".join(names),
        spec={},
        objectives=[first],
        created=" and ".join(one.created for one in manifests if one.created),
        git_commit=", ".join(dict.fromkeys(one.git_commit for one in manifests if one.git_commit)),
        versions=_in_all([one.versions for one in manifests]),
        trials=[trial.record for trial in trials],
    )
    return RunHistory(manifest, tuple(trials))


def _judged_by(objective: Objective) -> str:
    return f"{objective.goal} {objective.key}, {objective.over_seeds} over seeds"


def _in_all(versions: Sequence[dict[str, str]]) -> dict[str, str]:
    """What all of them have alike."""
    first, *others = versions
    return {name: number for name, number in first.items() if all(one.get(name) == number for one in others)}


def _named(run: RunHistory, swept: Sequence[str]) -> list[TrialHistory]:
    """The trials of a run, its name before theirs and their configurations'."""
    name = run.manifest.name
    written = {path: _written(run.manifest.spec, path) for path in swept}
    fixed = {path: value for path, value in written.items() if isinstance(value, (bool, int, float, str))}
    return [
        replace(
            trial,
            record=replace(
                trial.record,
                id=f"{name}/{trial.record.id}",
                config_id=f"{name}: {trial.record.config_id}",
                values={"run": name, **fixed, **trial.record.values},
            ),
        )
        for trial in run.trials
    ]


def _written(spec: Mapping[str, Any], path: str) -> Any:
    """What stands in a spec at a dotted path; None where nothing does."""
    found: Any = spec
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
