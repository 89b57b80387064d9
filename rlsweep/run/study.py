"""A run as a study of Optuna, one trial per configuration, in a file that optuna-dashboard reads."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import ValidationError

from analysis.history import RunHistory, TrialHistory, read_summary
from analysis.judgement import trial_values
from analysis.trial_results import is_valid
from rlsweep.errors import RunError
from rlsweep.run.outcomes import SeedResult, judge
from rlsweep.run.study_axes import axes_of
from rlsweep.spec import Sweep
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import (
    CONFIRM,
    DIVERGED,
    ENDED,
    FAILED,
    INTERRUPTED,
    PENDING,
    SEARCH,
    Manifest,
    Objective,
)
from rlsweep.store.rows import ENV_STEPS, SECONDS, TIMESTAMP

MAX_POINTS = 100
"""Of a learning curve: as many as a figure of many curves shows."""


def write_study(layout: RunLayout) -> Path:
    """Write `study.log` anew, from the manifest and the rows; `optuna-dashboard <folder>/study.log` shows it.

    Its values are of the search's own seeds, as the search is told them; what confirming seeds reached is an
    attribute. Like the runs in MLflow it is a projection: what others wrote there is lost, and a dashboard
    that is open has to be started again. It is a journal: a trial with its curve takes Optuna's SQLite
    storage 50 ms, and a journal 0.5.

    Returns:
        Its path.

    Raises:
        RunError: the run cannot be read, or the file not be written.
    """
    run = read_summary(layout)
    trials, path = _trials(run), layout.study
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory() as scratch:  # Optuna locks and syncs the file for every trial
            journal = Path(scratch) / path.name
            _fill(JournalStorage(JournalFileBackend(str(journal))), run, trials)
            shutil.copyfile(journal, partial)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"{path} cannot be written: {error}") from None
    return path


def _fill(storage: JournalStorage, run: RunHistory, trials: Sequence[FrozenTrial]) -> None:
    optuna.logging.set_verbosity(logging.ERROR)  # it announces every study
    name, objectives = run.manifest.name, run.manifest.objectives
    study = optuna.create_study(storage=storage, study_name=name, directions=[one.goal for one in objectives])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(_names(objectives))
    study.add_trials(trials)


def _trials(run: RunHistory) -> list[FrozenTrial]:
    """One for each configuration, in the order of the manifest."""
    try:
        sweep = Sweep.parse(run.manifest.spec)
    except ValidationError:  # of a version that had other keys
        sweep = None
    groups: dict[str, list[TrialHistory]] = {}
    for trial in run.trials:
        groups.setdefault(trial.record.config_id, []).append(trial)
    configurations = [
        {path: value for path, value in group[0].record.values.items() if path not in run.tasks}
        for group in groups.values()
    ]
    axes = axes_of(configurations, sweep.search.parameters if sweep else {})
    seeds = frozenset(sweep.seeds) if sweep and not sweep.search.is_listed else frozenset[int]()
    found = []
    for group, values in zip(groups.values(), configurations, strict=True):
        frozen = _configuration(group, run.manifest, seeds)
        frozen.distributions = {path: axes[path].distribution for path in values}
        frozen.params = {path: axes[path].param(value) for path, value in values.items()}
        found.append(frozen)
    return found


def _names(objectives: Sequence[Objective]) -> list[str]:
    """Their keys, told apart where two judge the seeds of one key differently."""
    keys = [one.key for one in objectives]
    return [one.key if keys.count(one.key) == 1 else f"{one.key} {one.over_seeds}" for one in objectives]


def _configuration(group: Sequence[TrialHistory], manifest: Manifest, seeds: frozenset[int]) -> FrozenTrial:
    """How a configuration stands, without its parameters.

    Args:
        group: its trials, of search and confirmation.
        manifest: of the run.
        seeds: that a search which learns proposes one after the other; none for one that lists them.
    """
    objectives = manifest.objectives
    trials = [trial for trial in group if trial.record.phase == SEARCH] or group
    state, values = _standing(trials, objectives, seeds)
    curve = {} if state == TrialState.WAITING else _curve(trials, objectives[0].on_the_way.key)
    if state == TrialState.PRUNED and not curve:  # to Optuna a pruned trial is one that has reported
        curve = {min(int(trial.last[ENV_STEPS]) for trial in trials if len(trial.rows)): values[0]}
    _, confirmed = _standing([one for one in group if one.record.phase == CONFIRM], objectives, frozenset())
    frozen = create_trial(
        state=state,
        values=values or None,
        intermediate_values=curve,
        user_attrs=_attributes(trials, objectives)
        | {f"confirmed {name}": value for name, value in zip(_names(objectives), confirmed, strict=False)},
    )
    _set_times(frozen, trials, manifest.created)
    return frozen


def _standing(
    trials: Sequence[TrialHistory], objectives: list[Objective], seeds: frozenset[int]
) -> tuple[TrialState, list[float]]:
    """The state of a configuration and, where it has a result, the values of its objectives."""
    statuses = {trial.record.status for trial in trials}
    if not statuses <= {*ENDED, FAILED} or seeds - {trial.record.seed for trial in trials}:
        has_begun = not statuses <= {PENDING, INTERRUPTED}
        return (TrialState.RUNNING if has_begun else TrialState.WAITING), []
    outcome, values, _ = judge([SeedResult(one.record.status, one.last) for one in trials], objectives)
    if outcome == "complete":
        return TrialState.COMPLETE, values
    if outcome == "pruned" and len(objectives) == 1:  # Optuna prunes for a single objective only
        return TrialState.PRUNED, values
    return TrialState.FAIL, []


def _curve(trials: Sequence[TrialHistory], key: str) -> dict[int, float]:
    """Env steps -> mean over the seeds that have a value, as far as all of these have one."""
    tables = [
        one.rows[is_valid(one.rows, key)]
        for one in trials
        if key in one.rows and one.record.status not in (FAILED, DIVERGED)
    ]
    curves = [(rows[ENV_STEPS].to_numpy(), rows[key].to_numpy(float)) for rows in tables if len(rows)]
    if not curves:
        return {}
    shortest = min((steps for steps, _ in curves), key=lambda steps: steps[-1])
    axis = shortest[shortest >= max(steps[0] for steps, _ in curves)]
    axis = axis[np.linspace(0, len(axis) - 1, min(len(axis), MAX_POINTS)).astype(int)]
    means = np.mean([np.interp(axis, steps, values) for steps, values in curves], axis=0)
    return dict(zip(axis.astype(int).tolist(), means.tolist(), strict=True))


def _attributes(trials: Sequence[TrialHistory], objectives: list[Objective]) -> dict[str, Any]:
    """What Optuna has no place for; lists are in the order of the seeds."""
    records = [trial.record for trial in trials]
    last = np.array([trial_values(one.record.status, one.last, objectives) for one in trials])
    return {
        "configuration": records[0].config_id,
        "seeds": [record.seed for record in records],
        "trials": [record.id for record in records],
        "statuses": [record.status for record in records],
        **{
            f"last {objective.key}": [value if math.isfinite(value) else None for value in values]
            for objective, values in zip(objectives, last.T.tolist(), strict=True)
        },
    }


def _set_times(frozen: FrozenTrial, trials: Sequence[TrialHistory], created: str) -> None:
    """When the first seed began and the last one ended; where no row tells, when the run was made."""
    first = [trial.rows.iloc[0] for trial in trials if len(trial.rows)]
    begun = [row.get(TIMESTAMP, math.nan) - row.get(SECONDS, 0.0) for row in first]
    ended = [trial.last.get(TIMESTAMP, math.nan) for trial in trials]
    times = [datetime.fromtimestamp(time, UTC) for time in begun + ended if math.isfinite(time)]
    times = times or [datetime.fromisoformat(created) if created else datetime.now(UTC)]
    frozen.datetime_start = None if frozen.state == TrialState.WAITING else min(times)
    frozen.datetime_complete = max(times) if frozen.state.is_finished() else None
