"""Rows and figures -> the table, for the console and for benchmarks/README.md."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.programs import BUSY_CORES, MOST_BUSY_CORES
from benchmarks.rounds import Figures, Pair
from benchmarks.verdict import Row, figure_text, ratio_text, ratios, spread_text, target_text, verdict

HEADER = ("work", "against", "unit", "ours", "theirs", "ratio", "at least", "aim", "met")

BEGIN = "<!-- result: begin -->"
END = "<!-- result: end -->"

FAIR_SHARE = 0.1
"""Contestants whose training per env step differs by more than this do not do the same work."""


@dataclass(frozen=True)
class Line:
    """One row with its figures.

    Attributes:
        row: what is compared.
        cells: as HEADER.
        notes: what a reader should know beside the figures.
        value: the median of the rounds' ratios; None where there is none.
        is_short: whether it misses its "at least", or was to be measured and could not be.
    """

    row: Row
    cells: tuple[str, ...]
    notes: tuple[str, ...]
    value: float | None
    is_short: bool


def make_line(row: Row, pair: Pair) -> Line:
    """The line of a row, whether its figures are there or not."""
    found = ratios(row.kind, pair.rounds)
    value = statistics.median(found) if found else None
    met = "failed" if value is None else verdict(row, value)
    cells = (
        *(row.work, row.against, row.unit),
        *(spread_text(figures.known, figure_text) for figures in (pair.ours, pair.theirs)),
        spread_text(found, partial(ratio_text, row.kind)),
        *(target_text(row.kind, row.at_least), target_text(row.kind, row.aim)),
        met,
    )
    is_short = met == "short" or (value is None and row.at_least is not None)
    return Line(row, cells, tuple(_notes(row, pair.ours, pair.theirs)), value, is_short)


def _notes(row: Row, ours: Figures, theirs: Figures) -> list[str]:
    """Which of the peer's settings counted, what failed, and whether the work was the same."""
    name = f"{row.work} against {row.against}"
    notes = []
    if theirs.best and len(theirs.tried) > 1:
        tried = ", ".join(
            f"{setting} {value:,.0f}" if isinstance(value, float) else f"{setting} failed"
            for setting, value in theirs.tried.items()
        )
        notes.append(f"{name}: {theirs.best.name} is the peer's best (round 1: {tried})")
    notes += [f"{name}: {reason}" for figures in (ours, theirs) for reason in figures.failures]
    busy = max((details.get(BUSY_CORES, 0.0) for details in ours.details + theirs.details), default=0.0)
    if busy > MOST_BUSY_CORES:
        notes.append(f"{name}: not to be trusted, other programs kept up to {busy:.2f} cores busy meanwhile")
    own, other = _trained(ours), _trained(theirs)
    if own and other and abs(own / other - 1) > FAIR_SHARE:
        notes.append(
            f"{name}: not the same work, ours trains on each env step {own:.2f} times, theirs {other:.2f}"
        )
    return notes


def _trained(figures: Figures) -> float | None:
    found = [details.get("trained_per_env_step") for details in figures.details]
    return float(found[-1]) if found and found[-1] else None


def markdown(lines: Sequence[Line], surroundings: Sequence[str], settings: str) -> str:
    """The table with its notes, as benchmarks/README.md holds it."""
    table = [HEADER, ("---",) * len(HEADER), *(line.cells for line in lines)]
    notes = [f"- {note}" for line in lines for note in line.notes]
    parts = ["\n".join(f"| {' | '.join(cells)} |" for cells in table)]
    parts += ["\n".join(notes)] if notes else []
    parts += ["\n".join([f"`{settings}`  ", *(f"{line}  " for line in surroundings)])]
    return "\n\n".join(parts)


def with_result(readme: str, result: str) -> str:
    """The README with another result between its markers.

    Raises:
        ValueError: the markers are not there, once each and in order.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"the README needs the lines {BEGIN} and {END}, once each and in this order")
    return f"{before}{BEGIN}\n\n{result}\n\n{END}{after}"
