"""Who took over whose weights in a population (PBT, PB2), and what the weights were trained with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from analysis.history import RunHistory, TrialHistory
from rlsweep.store.append import read_lines
from rlsweep.store.endings import short_count
from rlsweep.store.layout import RunLayout
from rlsweep.store.rows import ENV_STEPS


@dataclass(frozen=True)
class Exploit:
    """A member took over the weights of another (Jaderberg et al. 2017: exploit), and went on with values of
    its own (explore).

    Attributes:
        trial_id: of the member that took over.
        donor: trial id of the one whose weights it took.
        env_steps: that the weights had been trained for.
        values: dotted path -> value that the member went on with.
    """

    trial_id: str
    donor: str
    env_steps: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Stretch:
    """A part of the way of some weights.

    Attributes:
        trial_id: the member that trained them.
        start, end: env steps.
        values: dotted path -> value that it trained them with.
    """

    trial_id: str
    start: int
    end: int
    values: Mapping[str, Any]


def read_exploits(run: RunHistory, layout: RunLayout) -> list[Exploit]:
    """The exploits that the rows of a run go back to, member by member.

    Damaged lines are left out; so is an exploit that the member took back by a later one at as few or fewer
    env steps (its rows are superseded too), and one beyond its last row.

    Args:
        run: whose members are asked for.
        layout: where their lineage.json lie.
    """
    known = {trial.record.id for trial in run.trials}
    found = []
    for trial in run.trials:
        path = layout.trial(trial.record.id) / RunLayout.LINEAGE_JSON
        if len(trial.rows):
            read = read_lines(path, partial(_exploit, trial.record.id))
            last = int(trial.rows[ENV_STEPS].iloc[-1])
            found += [one for one in _standing(read) if one.donor in known and one.env_steps <= last]
    return found


def stretches(exploits: Sequence[Exploit], trial: TrialHistory) -> list[Stretch]:
    """What one member trained with, from its first env step to its last row, whosever weights it had."""
    if not len(trial.rows):
        return []
    own = [one for one in exploits if one.trial_id == trial.record.id]
    end = int(trial.rows[ENV_STEPS].iloc[-1])
    starts = [0, *(one.env_steps for one in own)]
    values = [trial.record.values, *(one.values for one in own)]
    return [
        Stretch(trial.record.id, start, stop, with_)
        for start, stop, with_ in zip(starts, [*starts[1:], end], values, strict=True)
    ]


def ancestry(run: RunHistory, exploits: Sequence[Exploit], trial_id: str) -> list[Stretch]:
    """The way of the weights that a member ended with, from the first env step on, through all who had them.

    A donor that went back behind the env steps at which it gave its weights away is taken to have had them
    from where it went back to: the files do not tell the order of exploits of different members.
    """
    trials = {trial.record.id: trial for trial in run.trials}
    way: list[Stretch] = []
    end = int(trials[trial_id].rows[ENV_STEPS].iloc[-1]) if len(trials[trial_id].rows) else 0
    while True:
        own = stretches(exploits, trials[trial_id])
        before = [one for one in own if one.start < end] or own[:1]
        if not before:
            return way
        last = before[-1]
        way.insert(0, Stretch(trial_id, last.start, end, last.values))
        taken = [one for one in exploits if one.trial_id == trial_id and one.env_steps == last.start]
        if not taken:
            return way
        trial_id, end = taken[-1].donor, last.start


def member_names(run: RunHistory) -> dict[str, str]:
    """Trial id -> what a reader knows a member by: its first configuration, and its seed where several have
    the same."""
    count = Counter(trial.record.config_id for trial in run.trials)
    return {
        trial.record.id: trial.record.config_id
        + (f" · seed {trial.record.seed}" if count[trial.record.config_id] > 1 else "")
        for trial in run.trials
    }


def in_words(way: Sequence[Stretch], names: Mapping[str, str]) -> str:
    """How the weights of the best member came about.

    Args:
        way: of these weights.
        names: trial id -> what a reader knows it by.
    """
    if not way:
        return ""
    first, *rest = way
    if not rest:
        return f"The weights of the best member, `{names[first.trial_id]}`, are its own from the beginning."
    moves = [f"`{names[one.trial_id]}` at {short_count(one.start)}" for one in rest]
    return (
        f"The weights of the best member began in `{names[first.trial_id]}` and were taken over by "
        f"{', then by '.join(moves)} env steps."
    )


def first_row_after(trial: TrialHistory, exploit: Exploit) -> int:
    """Index of the first row of a member that was trained with the weights it took over.

    Its last row before may stand a little beyond the donor's: rows are never in step. Half an iteration is
    the border.
    """
    steps = trial.rows[ENV_STEPS].to_numpy(float)
    iteration = float(np.median(np.diff(steps, prepend=0.0)))
    return int(np.searchsorted(steps, exploit.env_steps + iteration / 2, side="right"))


def _exploit(trial_id: str, event: Any) -> Exploit:
    """Of a line of lineage.json.

    Raises:
        LookupError, TypeError, ValueError: it is damaged.
    """
    donor, env_steps, values = event["donor"], event["donor_env_steps"], event["values"]
    is_whole = isinstance(donor, str) and isinstance(env_steps, int) and isinstance(values, dict)
    if not is_whole or env_steps <= 0:
        raise ValueError(f"no exploit: {event}")
    return Exploit(trial_id, donor, env_steps, values)


def _standing(exploits: Sequence[Exploit]) -> list[Exploit]:
    """Those of one member, in the order of its file, that no later one took back."""
    kept: list[Exploit] = []
    for one in exploits:
        while kept and kept[-1].env_steps >= one.env_steps:
            kept.pop()
        kept.append(one)
    return kept
