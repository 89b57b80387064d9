"""All measurements in interleaved rounds: ours, theirs, ours, theirs, and all of it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.catalogue import MEASUREMENTS, Candidate, Measurement
from benchmarks.programs import MeasurementError, Outcome

Runner = Callable[[Candidate], Outcome]
Listener = Callable[[str], None]


@dataclass
class Figures:
    """What is known of one measurement.

    Attributes:
        values: one of each round that gave one, of the candidate that counts.
        candidate: its name; empty before there is one.
        tried: every candidate's value or reason in the first round.
        details: beside each value.
        failures: why there is no value; one for each that is missing.
    """

    values: list[float] = field(default_factory=list)
    candidate: str = ""
    tried: dict[str, float | str] = field(default_factory=dict)
    details: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def measure(keys: Sequence[str], repeats: int, run: Runner, say: Listener) -> dict[str, Figures]:
    """Measure everything `repeats` times, in rounds.

    Args:
        keys: of MEASUREMENTS, in the order of a round.
        repeats: rounds.
        run: measures one candidate; raises MeasurementError.
        say: is told of each figure.

    Returns:
        By key. One that failed in the first round is not tried again.
    """
    figures = {key: Figures() for key in keys}
    best: dict[str, Candidate] = {}
    for number in range(repeats):
        for key in keys:
            measurement = MEASUREMENTS[key]
            if measurement.constant is not None:
                figures[key].values = [measurement.constant]
            elif number == 0:
                found = _first(key, measurement, figures[key], run, say)
                if found:
                    best[key] = found
            elif key in best and not measurement.once:
                _again(key, f"round {number + 1} of {repeats}", best[key], figures[key], run, say)
    return figures


def _first(
    key: str, measurement: Measurement, figures: Figures, run: Runner, say: Listener
) -> Candidate | None:
    """Try every candidate and keep the best."""
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
        return None
    choose = min if measurement.less_is_better else max
    best = choose(outcomes, key=lambda candidate: outcomes[candidate].value)
    figures.candidate = best.name
    figures.values.append(outcomes[best].value)
    figures.details.append(outcomes[best].details)
    return best


def _again(key: str, number: str, candidate: Candidate, figures: Figures, run: Runner, say: Listener) -> None:
    try:
        outcome = run(candidate)
    except MeasurementError as error:
        figures.failures.append(f"{number}: {error}")
        say(f"{key}, {number}: {error}")
    else:
        figures.values.append(outcome.value)
        figures.details.append(outcome.details)
        say(f"{key}, {number}: {outcome.value:,.4g}")
