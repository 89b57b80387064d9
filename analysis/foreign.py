"""Experiments of Ray Tune that rlsweep did not run: any folder of trials, RLlib's old or new API stack.

Their rows get our keys where theirs say the same, and what differs between their configurations becomes the
swept values.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.reading import Skipped, flat, last_branch, read_csv, read_json_lines, table
from rlsweep.errors import RunError
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import FAILED, FINISHED, INTERRUPTED, Manifest, Objective, TrialRecord
from rlsweep.store.rows import (
    ENV_STEPS,
    GAME_ENV_STEPS,
    GAMES,
    ITERATION,
    LEARNER_PREFIX,
    SCORE,
    SCORE_MAX,
    SCORE_MIN,
    SECONDS,
    STEPS_PER_SECOND,
    TIMESTAMP,
)

OUR_KEYS: dict[str, Sequence[str]] = {
    SCORE: (
        "env_runners/episode_return_mean",
        "env_runners/episode_reward_mean",
        "episode_reward_mean",
        "episode_return_mean",
    ),
    SCORE_MIN: ("env_runners/episode_return_min", "env_runners/episode_reward_min", "episode_reward_min"),
    SCORE_MAX: ("env_runners/episode_return_max", "env_runners/episode_reward_max", "episode_reward_max"),
    ENV_STEPS: (
        "num_env_steps_sampled_lifetime",
        "env_runners/num_env_steps_sampled_lifetime",
        "timesteps_total",
        "num_env_steps_sampled",
        "info/num_steps_sampled",
    ),
    GAMES: ("env_runners/num_episodes_lifetime", "episodes_total"),
    GAME_ENV_STEPS: ("env_runners/episode_len_mean", "episode_len_mean"),
    SECONDS: ("time_total_s",),
    ITERATION: ("training_iteration",),
    TIMESTAMP: ("timestamp",),
}
"""Our key -> theirs, the first of them that is there. RLlib's return is what its environment pays: of a life
or of a game, clipped or not, as that run was set up."""

LEARNER_PREFIXES = ("learners/default_policy/", "info/learner/default_policy/", "info/learner/")
"""What RLlib calls what we call `learner/…`."""

_TAG = re.compile(r"_\d+_(?P<pairs>[A-Za-z][^=]*=.*)")
"""Of `PPO_Pong_8f3a2_00000_0_lr=0.001,gamma=0.9` what comes after the trial's number."""


_DATE = re.compile(r"_\d{4}-\d{2}-\d{2}_")
"""What Tune puts behind a trial's tag in the name of its folder."""


@dataclass(frozen=True)
class Experiment:
    """A foreign experiment in our terms.

    Attributes:
        manifest: made up from what the folder says.
        tables: rows of each trial of it, and what was left out.
    """

    manifest: Manifest
    tables: list[tuple[pd.DataFrame, Skipped]]


@dataclass(frozen=True)
class _Trial:
    folder: Path
    settings: dict[str, Any]
    rows: list[dict[str, Any]]
    skipped: Skipped


def is_experiment(folder: Path) -> bool:
    """Whether there is a trial of Ray Tune in a folder, or the folder is one."""
    return bool(_trial_folders(folder))


def read_experiment(folder: Path) -> Experiment:
    """Read every trial below a folder.

    Raises:
        RunError: none of them has a single row. A trial that has none stays, without a value.
    """
    trials = [_read(found) for found in _trial_folders(folder)]
    if not any(trial.rows for trial in trials):
        counted = ", ".join(OUR_KEYS[ENV_STEPS])
        raise RunError(f"{folder}: no trial has a result row of RLlib, with env steps in one of: {counted}")
    swept = _swept([trial.settings for trial in trials])
    seeds: dict[str, int] = {}
    records, tables = [], []
    for trial in trials:
        values = {key: trial.settings[key] for key in swept if key in trial.settings}
        config_id = ",".join(f"{swept[key]}={value}" for key, value in values.items()) or "base"
        seed = trial.settings.get("seed")
        if not isinstance(seed, int):
            seed = seeds[config_id] = seeds.get(config_id, -1) + 1
        records.append(TrialRecord(trial.folder.name, config_id, values, seed, "", status=_status(trial)))
        table_of_trial = in_our_keys(trial.rows)
        kept = last_branch(table_of_trial)
        superseded = len(table_of_trial) - len(kept)
        tables.append((_with_speed(kept), trial.skipped + Skipped(superseded=superseded)))
    manifest = Manifest(
        name=folder.resolve().name,
        spec={},
        spec_hash="",
        comparison_hash="",
        profile="",
        objectives=[Objective(SCORE, "maximize")],
        created="",
        git_commit="",
        versions={},
        trials=records,
    )
    return Experiment(manifest, tables)


def in_our_keys(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of RLlib with our keys in the place of theirs; numbers that we have no key for keep theirs."""
    found = table(rows)
    renamed = {name: ours for ours, name in _names(rows).items() if ours not in found}
    for name in found.columns:
        prefix = next((prefix for prefix in LEARNER_PREFIXES if name.startswith(prefix)), None)
        if prefix is not None:
            renamed[name] = LEARNER_PREFIX + name.removeprefix(prefix)
    found = found.rename(columns=renamed)
    found = found.loc[:, ~found.columns.duplicated()]
    for column in found.select_dtypes(include=["object", "string"]):
        numbers = pd.to_numeric(found[column], errors="coerce")
        if numbers.notna().any():  # text in a few lines must not cost the column
            found[column] = numbers
    return found.select_dtypes(include=["number", "bool"])


def _names(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Our key -> theirs: the first that has a number in any of these rows."""
    found = {}
    for ours, theirs in OUR_KEYS.items():
        name = next((name for name in theirs if any(_is_number(row.get(name)) for row in rows)), None)
        if name is not None:
            found[ours] = name
    return found


def _with_speed(found: pd.DataFrame) -> pd.DataFrame:
    if STEPS_PER_SECOND not in found and {ENV_STEPS, SECONDS} <= set(found.columns):
        seconds = np.diff(found[SECONDS].to_numpy(float), prepend=0.0)
        steps = np.diff(found[ENV_STEPS].to_numpy(float), prepend=0.0)
        nothing = np.full(len(found), np.nan)
        found[STEPS_PER_SECOND] = np.divide(steps, seconds, out=nothing, where=seconds > 0)
    return found


def _trial_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    names = (RunLayout.RESULT_JSON, RunLayout.PROGRESS_CSV)
    return sorted({path.parent for name in names for path in folder.rglob(name)})


def _read(folder: Path) -> _Trial:
    found, skipped = read_json_lines(folder / RunLayout.RESULT_JSON)
    if not found:
        found, more = read_csv(folder / RunLayout.PROGRESS_CSV)
        skipped += more
    names = _names(found)
    steps = ENV_STEPS if any(_is_number(row.get(ENV_STEPS)) for row in found) else names.get(ENV_STEPS, "")
    counted = [row | {ENV_STEPS: row[steps]} for row in found if _is_number(row.get(steps))]
    own = [row for row in counted if all(_is_number_or_none(row.get(name)) for name in names.values())]
    left_out = Skipped(broken=len(counted) - len(own), foreign=len(found) - len(counted))
    return _Trial(folder, _settings(folder), own, skipped + left_out)


def _settings(folder: Path) -> dict[str, Any]:
    """The configuration of a trial: params.json, that of its last row, and what its name says."""
    path = folder / RunLayout.PARAMS_JSON
    try:
        written = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        written = _config_of_a_row(folder / RunLayout.RESULT_JSON)
    known = flat(written, without=()) if isinstance(written, Mapping) else {}
    ends = {key.rpartition("/")[2] for key in known}
    return {key: value for key, value in _named(folder.name).items() if key not in ends} | known


def _named(name: str) -> dict[str, Any]:
    """The values in the name of a trial's folder."""
    tag = _TAG.search(_DATE.split(name)[0])
    pairs = [pair.partition("=") for pair in tag["pairs"].split(",")] if tag else []
    return {key.rpartition("/")[2]: _literal(value) for key, sign, value in pairs if sign}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _config_of_a_row(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", errors="replace") as stream:
        try:
            config = json.loads(stream.readline()).get("config")
        except (ValueError, AttributeError):
            return {}
    return config if isinstance(config, dict) else {}


def _swept(settings: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Keys whose values differ between trials, but for the seed, each with what it is called: its last part
    where that is enough to tell it from the others."""
    keys = sorted({key for one in settings for key in one if key != "seed"})
    swept = [key for key in keys if len({json.dumps(one.get(key), default=str) for one in settings}) > 1]
    ends = Counter(key.rpartition("/")[2] for key in swept)
    return {key: end if ends[end := key.rpartition("/")[2]] == 1 else key for key in swept}


def _status(trial: _Trial) -> str:
    """An error.txt stays where a later attempt got to the end."""
    if trial.rows and trial.rows[-1].get("done") is True:
        return FINISHED
    if (trial.folder / RunLayout.ERROR_TXT).is_file():
        return FAILED
    return FINISHED if trial.rows and trial.rows[-1].get("done", True) is True else INTERRUPTED


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_number_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
