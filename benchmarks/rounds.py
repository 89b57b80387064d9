"""All measurements in interleaved rounds: ours and theirs of a row one right after the other, row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.catalogue import MEASUREMENTS, Candidate, Measurement
from benchmarks.programs import MeasurementError, Outcome
from benchmarks.verdict import Row

Runner = Callable[[Candidate], Outcome]
Listener = Callable[[str], None]


@dataclass
class Figures:
    """What is known of one side of a row.

    Attributes:
        values: one of each round, of the candidate that counts; None of a round that gave none.
        best: the candidate that counts.
        tried: every candidate's value or reason in the first round.
        details: beside each value that there is.
        failures: why there is no value; one for each that is missing.
    """

    values: list[float | None] = field(default_factory=list)
    best: Candidate | None = None
    tried: dict[str, float | str] = field(default_factory=dict)
    details: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def known(self) -> list[float]:
        """The values that there are."""
        return [value for value in self.values if value is not None]


@dataclass
class Pair:
    """Both sides of a row."""

    ours: Figures = field(default_factory=Figures)
    theirs: Figures = field(default_factory=Figures)

    @property
    def rounds(self) -> list[tuple[float, float]]:
        """Ours and theirs of every round that gave both."""
        both = zip(self.ours.values, self.theirs.values, strict=False)
        return [(own, other) for own, other in both if own is not None and other is not None]


def measure(rows: Sequence[Row], repeats: int, run: Runner, say: Listener) -> list[Pair]:
    """Measure every row `repeats` times, in rounds.

    The machine's speed drifts, so that a ratio is one of figures that were measured within minutes: what is
    ours is measured anew for each row. Every second round begins with theirs.

    Args:
        rows: in the order of a round.
        repeats: rounds; a row of figures that do not vary is measured in the first one alone.
        run: measures one candidate; raises MeasurementError.
        say: is told of each figure.

    Returns:
        Of each row. One of which a side failed in the first round is not measured again.
    """
    pairs = [Pair() for _ in rows]
    for number in range(repeats):
        for row, pair in zip(rows, pairs, strict=True):
            if number and not pair.rounds:
                continue
            sides = [(row.ours, pair.ours), (row.theirs, pair.theirs)]
            for key, figures in sides if number % 2 == 0 else reversed(sides):
                measurement = MEASUREMENTS[key]
                if number == 0:
                    _first(key, measurement, figures, run, say)
                elif figures.best and not measurement.is_fixed:
                    _again(key, f"round {number + 1} of {repeats}", figures.best, figures, run, say)
    return pairs


def _first(key: str, measurement: Measurement, figures: Figures, run: Runner, say: Listener) -> None:
    """Try every candidate and keep the best."""
    if measurement.constant is not None:
        figures.values = [measurement.constant]
        return
    outcomes: dict[Candidate, Outcome] = {}
    for candidate in measurement.candidates:
        try:
            outcomes[candidate] = run(candidate)
        except MeasurementError as error:
            figures.tried[candidate.name] = str(error)
            say(f"{key}, {candidate.name}: {error}")
        else:
            figures.tried[candidate.name] = outcomes[candidate].value
            say(f"{key}, {candidate.name}: {outcomes[candidate].value:,.4g}")
    if not outcomes:
        figures.failures = [f"{name}: {reason}" for name, reason in figures.tried.items()]
        return
    choose = min if measurement.less_is_better else max
    figures.best = choose(outcomes, key=lambda candidate: outcomes[candidate].value)
    figures.values.append(outcomes[figures.best].value)
    figures.details.append(outcomes[figures.best].details)


def _again(key: str, number: str, candidate: Candidate, figures: Figures, run: Runner, say: Listener) -> None:
    try:
        outcome = run(candidate)
    except MeasurementError as error:
        figures.values.append(None)
        figures.failures.append(f"{number}: {error}")
        say(f"{key}, {number}: {error}")
    else:
        figures.values.append(outcome.value)
        figures.details.append(outcome.details)
        say(f"{key}, {number}: {outcome.value:,.4g}")
