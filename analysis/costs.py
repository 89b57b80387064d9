"""What a run has spent, and what its scheduler has saved by stopping trials early."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from analysis.history import RunHistory
from analysis.reading import last_row
from rlsweep.errors import SpecError
from rlsweep.spec import Sweep, with_values
from rlsweep.store.endings import short_count
from rlsweep.store.manifest import STOPPED, TrialRecord
from rlsweep.store.rows import ENV_STEPS, SECONDS

_LENGTH_SECTIONS = ("env", "stop")
"""Sections of a spec that a trial's length depends on: `stop` may count frames."""


@dataclass(frozen=True)
class Cost:
    """Of one trial.

    Attributes:
        trial_id: of the trial.
        was_stopped: by the scheduler, early.
        seconds: of sampling and learning; NaN where its rows do not tell.
        env_steps: at its last row.
        saved_env_steps: that were left to its own stop when the scheduler stopped it; 0 for other trials, NaN
            where its length is not known.
        saved_seconds: that they would have taken at the trial's own throughput.
    """

    trial_id: str
    was_stopped: bool
    seconds: float
    env_steps: int
    saved_env_steps: float
    saved_seconds: float


@dataclass(frozen=True)
class Costs:
    """Of a run.

    Attributes:
        trials: those that have a row.
        gpus_per_trial: as the spec says; None where it leaves that to the machine.
    """

    trials: tuple[Cost, ...]
    gpus_per_trial: float | None

    @property
    def stopped(self) -> list[Cost]:
        """The trials that the scheduler stopped early."""
        return [trial for trial in self.trials if trial.was_stopped]

    @property
    def seconds(self) -> float:
        """Trial seconds spent, over the trials that tell."""
        return _known_sum(trial.seconds for trial in self.trials)

    @property
    def saved_seconds(self) -> float:
        """Trial seconds saved, over the trials that tell."""
        return _known_sum(trial.saved_seconds for trial in self.trials)

    @property
    def env_steps(self) -> int:
        """Spent, over all trials."""
        return sum(trial.env_steps for trial in self.trials)

    @property
    def saved_env_steps(self) -> int:
        """Saved, over the trials whose length is known."""
        return round(_known_sum(trial.saved_env_steps for trial in self.trials))

    def gpu_hours(self, trial_seconds: float) -> float | None:
        """That these trial seconds take; None where the GPUs of a trial are not known."""
        return None if self.gpus_per_trial is None else trial_seconds * self.gpus_per_trial / 3600


def costs(run: RunHistory) -> Costs:
    """What a run has spent and saved.

    A stopped trial is taken to go on to its own `stop.env_steps` as fast as it was on average: an upper bound
    where another condition of `stop` would have ended it sooner. Where trials are compared earlier (`--at`),
    what they took in the end counts.
    """
    spec = run.manifest.spec
    lengths = _lengths(run)
    lasts = [
        (trial.record, last_row(trial.rows if trial.whole is None else trial.whole)) for trial in run.trials
    ]
    return Costs(
        tuple(_cost(record, last, lengths) for record, last in lasts if ENV_STEPS in last),
        gpus_per_trial(spec.get("resources") or {}) if spec else None,
    )


def gpus_per_trial(resources: Mapping[str, Any]) -> float | None:
    """GPUs of one trial: those of each learner, times the learners, of which the trial's own process is one
    where there are no others.

    Args:
        resources: that section of a resolved spec.

    Returns:
        None where the machine decided (`gpus_per_learner: auto`, or `gpus: auto` without enough of them).
    """
    per_learner = resources.get("gpus_per_learner", "auto")
    if not isinstance(per_learner, (int, float)) or (per_learner and resources.get("gpus") == "auto"):
        return None
    return float(per_learner) * max(1, int(resources.get("learners", 0)))


def in_words(found: Costs) -> list[str]:
    """What was spent and saved, and what that assumes; nothing for a run without a row."""
    if not found.trials:
        return []
    sentences = [f"Spent: {_amounts(found, found.seconds, found.env_steps)} over {_trials(found.trials)}."]
    if found.stopped:
        sentences += _saved_in_words(found)
    if not found.seconds:
        return sentences
    if found.gpus_per_trial is None:
        sentences.append("The spec leaves a trial's GPUs to the machine: the time is that of trials.")
    elif found.gpus_per_trial:
        sentences.append(f"A trial has {found.gpus_per_trial:g} GPUs.")
    return [*sentences, "Counted is sampling and learning, without evaluation and restarts."]


def _saved_in_words(found: Costs) -> list[str]:
    stopped = f"{len(found.stopped)} of {_trials(found.trials)}"
    if not found.saved_env_steps:
        return [f"The scheduler stopped {stopped} early; what that saved is not known without their length."]
    share = found.saved_env_steps / (found.saved_env_steps + found.env_steps)
    return [
        f"Early stopping saved {_amounts(found, found.saved_seconds, found.saved_env_steps)}, {share:.0%} of "
        f"all env steps: {stopped} were stopped.",
        "That assumes that each would have gone on to its last env step at its own average throughput; "
        "another condition of `stop` may have ended it sooner.",
    ]


def _cost(record: TrialRecord, last: Mapping[str, Any], lengths: Mapping[str, int]) -> Cost:
    env_steps, seconds = int(last[ENV_STEPS]), float(last.get(SECONDS, math.nan))
    was_stopped = record.status == STOPPED
    saved = 0.0
    if was_stopped:
        saved = float(max(0, lengths[record.id] - env_steps)) if record.id in lengths else math.nan
    per_env_step = seconds / env_steps if env_steps else math.nan
    return Cost(record.id, was_stopped, seconds, env_steps, saved, saved * per_env_step if saved else 0.0)


def _lengths(run: RunHistory) -> dict[str, int]:
    """Trial id -> env steps at which it ends by itself, of stopped trials; those of several runs together are
    not known."""
    spec, whole = run.manifest.spec, run.objective.most_env_steps
    lengths: dict[str, int] = {}
    found = {}
    for record in (trial.record for trial in run.trials if spec and trial.record.status == STOPPED):
        swept = {
            path: value for path, value in record.values.items() if path.split(".")[0] in _LENGTH_SECTIONS
        }
        key = str(swept)
        if key not in lengths:
            lengths[key] = _swept_length(spec, swept, whole)
        found[record.id] = lengths[key]
    return {trial_id: length for trial_id, length in found.items() if length}


def _swept_length(spec: Mapping[str, Any], swept: Mapping[str, Any], whole: int) -> int:
    """`stop.env_steps` with swept values; that of a whole trial where none matters, or where the spec is of a
    version that had other keys."""
    try:
        return with_values(Sweep.parse(spec), swept).stop.env_steps if swept else whole
    except (ValidationError, SpecError):
        return whole


def _amounts(found: Costs, seconds: float, env_steps: int) -> str:
    """`6.22 GPU hours and 92M env steps`: of trials where these have no GPUs, or it is not known."""
    steps = f"{short_count(env_steps)} env steps"
    if not seconds:
        return steps
    gpu_hours = found.gpu_hours(seconds)
    of_what, amount = ("GPU", gpu_hours * 3600) if gpu_hours else ("trial", seconds)
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if amount >= size:
            return f"{amount / size:,.{0 if amount >= 1000 * size else 1}f} {of_what} {unit} and {steps}"
    return f"{amount:.1f} {of_what} seconds and {steps}"


def _trials(trials: Sequence[Cost]) -> str:
    return f"{len(trials)} trial{'' if len(trials) == 1 else 's'}"


def _known_sum(values: Iterable[float]) -> float:
    return math.fsum(value for value in values if math.isfinite(value))
