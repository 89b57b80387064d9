"""How a run stands, from its files alone: from another terminal, or another machine on the same storage."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.reading import last_row_of
from rlsweep.store.endings import in_words
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import DIVERGED, ENDED, FAILED, RUNNING, Manifest, TrialRecord
from rlsweep.store.mirror import bring
from rlsweep.store.rows import ENV_STEPS, GAMES, SCORE, SCORE_VALID, STEPS_PER_SECOND, TIMESTAMP

SILENT_SECONDS = 600.0
"""A running trial without a row for so long is said to be silent: its driver may be dead."""


@dataclass(frozen=True)
class TrialStatus:
    """One trial.

    Attributes:
        id, words: its id, and how it stands (`stopped early by asha at 1.2M env steps`).
        status: as in the manifest.
        score: the last one; NaN before a game has ended.
        is_valid: enough games have ended for that score.
        games, env_steps: so far.
        steps_per_second: in its last row.
        silent_seconds: since its last row; NaN before the first.
    """

    id: str
    words: str
    status: str
    score: float
    is_valid: bool
    games: int
    env_steps: int
    steps_per_second: float
    silent_seconds: float

    @property
    def is_silent(self) -> bool:
        """Whether it should be running and says nothing."""
        return self.status == RUNNING and self.silent_seconds > SILENT_SECONDS


@dataclass(frozen=True)
class RunStatus:
    """A run.

    Attributes:
        name: of the run.
        goal_env_steps: at which each of its trials ends.
        trials: in the order of the manifest.
    """

    name: str
    goal_env_steps: int
    trials: tuple[TrialStatus, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Status -> how many trials."""
        return dict(Counter(trial.status for trial in self.trials))

    @property
    def has_ended(self) -> bool:
        """Whether no trial that is known has anything left to do."""
        return all(trial.status in (*ENDED, FAILED) for trial in self.trials)

    @property
    def best(self) -> TrialStatus | None:
        """The trial with the best valid score so far; one that crashed or diverged has none."""
        scored = (t for t in self.trials if t.is_valid and t.status not in (FAILED, DIVERGED))
        return max(scored, key=lambda t: t.score, default=None)

    @property
    def best_score(self) -> float:
        """Of the best trial; NaN where there is none."""
        return self.best.score if self.best else math.nan

    @property
    def env_steps(self) -> int:
        """Of all trials."""
        return sum(trial.env_steps for trial in self.trials)

    @property
    def steps_per_second(self) -> float:
        """Of all trials that run now."""
        speeds = [t.steps_per_second for t in self.trials if t.status == RUNNING and not t.is_silent]
        return sum(speed for speed in speeds if math.isfinite(speed))

    @property
    def seconds_left(self) -> float:
        """Until the trials that are known have ended, at the present speed; NaN where nothing runs.

        An upper bound where a scheduler or a score stops trials early.
        """
        left = sum(
            max(0, self.goal_env_steps - trial.env_steps)
            for trial in self.trials
            if trial.status not in (*ENDED, FAILED)
        )
        return left / self.steps_per_second if self.steps_per_second > 0 else math.nan


def read_status(layout: RunLayout) -> RunStatus:
    """How a run stands now.

    Raises:
        RunError: there is none, or its manifest cannot be read.
    """
    manifest = Manifest.read(layout)
    trials = tuple(_read_trial(layout, record, manifest.scheduler) for record in manifest.trials)
    return RunStatus(manifest.name, manifest.objectives[0].most_env_steps, trials)


def runs(storage: Storage) -> list[RunLayout]:
    """Every run of a storage, brought here to be read, the one that was written to last first.

    Raises:
        RunError: the storage cannot be reached.
    """
    found = [storage.run(name) for name in storage.run_names()]
    for layout in found:
        bring(layout)
    found = [layout for layout in found if layout.manifest.is_file()]
    return sorted(found, key=lambda layout: -layout.manifest.stat().st_mtime)


def trial_status(record: TrialRecord, row: Mapping[str, Any], words: str) -> TrialStatus:
    """How a trial stands.

    Args:
        record: of the trial.
        row: its last one; empty before the first.
        words: how it stands, for people.
    """
    return TrialStatus(
        id=record.id,
        words=words,
        status=record.status,
        score=float(row.get(SCORE, math.nan)),
        is_valid=bool(row.get(SCORE_VALID, False)) and math.isfinite(row.get(SCORE, math.nan)),
        games=int(row.get(GAMES, 0)),
        env_steps=int(row.get(ENV_STEPS, 0)),
        steps_per_second=float(row.get(STEPS_PER_SECOND, math.nan)),
        silent_seconds=time.time() - row[TIMESTAMP] if TIMESTAMP in row else math.nan,
    )


def _read_trial(layout: RunLayout, record: TrialRecord, scheduler: str) -> TrialStatus:
    row = last_row_of(layout.result_json(record.id))
    words = in_words(record, scheduler, int(row.get(ENV_STEPS, 0)), layout.trial(record.id))
    return trial_status(record, row, words)
