"""What a trial's result depends on, as hashes: by them a later start tells which trials it can take over."""

from __future__ import annotations

import math
from typing import Any

from rlsweep.plan import PlannedTrial
from rlsweep.spec import Sweep
from rlsweep.spec.schedules import is_schedule
from rlsweep.store.manifest import TrialRecord, content_hash

_TRAINING_SECTIONS = ("algorithm", "training", "network", "stop")
_TRAINING_RESOURCES = ("env_runners", "envs_per_env_runner", "learners")
_TRAINING_IF_WRITTEN = ("exploration", "curriculum", "callbacks")
"""What a trial's result depends on; the rest of the spec may change without making it another experiment. A
section that came later counts where it says something: trials of before have the hash that they had."""

_OVER_THE_WHOLE_LENGTH = ("linear", "cosine")


def trial_hash(trial: PlannedTrial) -> str:
    """Hash of everything that a trial's result depends on: resolved spec and seed."""
    return content_hash({"spec": _training_part(trial.sweep), "seed": trial.seed})


def hash_but_stop(trial: PlannedTrial) -> str:
    """The same without `stop`; empty where a schedule runs over the whole length of the trial."""
    values = trial.sweep.training.values()
    if any(shape in value for value in values if is_schedule(value) for shape in _OVER_THE_WHOLE_LENGTH):
        return ""
    return content_hash({"spec": _training_part(trial.sweep) | {"stop": None}, "seed": trial.seed})


def comparison_hash(sweep: Sweep) -> str:
    """Hash of what training depends on beside swept values and seed."""
    return content_hash(_training_part(sweep))


def is_longer(record: TrialRecord, before: TrialRecord) -> bool:
    """Whether a trial is the one of before, but for a stop that no limit of before comes after."""
    if not record.hash_but_stop or record.hash_but_stop != before.hash_but_stop:
        return False
    return all(_limit(record.stop[name]) >= _limit(value) for name, value in before.stop.items())


def _limit(value: float | None) -> float:
    return math.inf if value is None else value


def _training_part(sweep: Sweep) -> dict[str, Any]:
    """Everything that training depends on, defaults filled in: writing a default changes nothing."""
    dumped = sweep.model_dump(mode="json")
    settings = sweep.env.atari.model_dump(mode="json") if sweep.env.is_atari else {}
    return {
        "env": dumped["env"] | settings | {"protocol": None},
        "resources": {name: dumped["resources"][name] for name in _TRAINING_RESOURCES},
        **{section: dumped[section] for section in _TRAINING_SECTIONS},
        **{section: dumped[section] for section in _TRAINING_IF_WRITTEN if _is_written(sweep, section)},
    }


def _is_written(sweep: Sweep, section: str) -> bool:
    return bool(getattr(sweep, section) != Sweep.model_fields[section].default)
