"""From figures to ratios and verdicts. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a row compares, and so which way is better."""

    SPEED = "ours / theirs, more is better"
    SHARE = "ours / theirs, more is better, as a percentage"
    DURATION = "theirs / ours, more is better"
    SIZE = "ours / theirs, less is better"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        group: its name for `--only`.
        work: what is done.
        against: whom.
        unit: of both figures.
        ours, theirs: keys of the measurements.
        kind: how the ratio is made and judged.
        at_least, aim: targets of the ratio; None for a row that is only shown.
    """

    group: str
    work: str
    against: str
    unit: str
    ours: str
    theirs: str
    kind: Kind
    at_least: float | None = None
    aim: float | None = None


def ratios(kind: Kind, rounds: Sequence[tuple[float, float]]) -> list[float]:
    """The ratio of each round's ours and theirs.

    Raises:
        ValueError: a figure that is not positive.
    """
    if any(figure <= 0 for pair in rounds for figure in pair):
        raise ValueError("a ratio needs positive figures")
    return [other / own if kind is Kind.DURATION else own / other for own, other in rounds]


def meets(kind: Kind, value: float, target: float) -> bool:
    """Whether a ratio is as good as a target."""
    return value <= target if kind is Kind.SIZE else value >= target


def verdict(row: Row, value: float) -> str:
    """`aim`, `at least`, `short`, or nothing for a row without targets."""
    if row.at_least is None or row.aim is None:
        return ""
    if meets(row.kind, value, row.aim):
        return "aim"
    return "at least" if meets(row.kind, value, row.at_least) else "short"


def ratio_text(kind: Kind, value: float) -> str:
    """`2.21×`, or `55%` of a share."""
    return f"{value:.0%}" if kind is Kind.SHARE else f"{value:.2f}×"


def figure_text(figure: float) -> str:
    """`1,234`, `0.654`: three digits at least."""
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def spread_text(values: Sequence[float], text: Callable[[float], str]) -> str:
    """`423 (411–430)`: the median and the range; the one value alone."""
    if not values:
        return "–"
    median = text(statistics.median(values))
    return f"{median} ({text(min(values))}–{text(max(values))})" if len(values) > 1 else median


def target_text(kind: Kind, value: float | None) -> str:
    """A target as the table shows it; a size may be at most so large."""
    if value is None:
        return ""
    text = f"{value:.0%}" if kind is Kind.SHARE else f"{value:g}×"
    return f"≤ {text}" if kind is Kind.SIZE else text
