"""Interactive figures of a run as a whole, for the HTML report: when its trials ran, its Pareto front.

Colours of text, grid and background are left to the page, which has a dark and a light one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.colours import STATUS_COLOURS, faint
from analysis.costs import Costs
from analysis.history import RunHistory
from analysis.summary import objective_column
from rlsweep.store.endings import short_count
from rlsweep.store.manifest import STOPPED
from rlsweep.store.rows import ENV_STEPS, TIMESTAMP


@dataclass(frozen=True)
class _Span:
    """A trial on the clock: its place from the top, and seconds since the first row of all."""

    place: int
    trial_id: str
    label: str
    status: str
    start: float
    end: float
    env_steps: int


def timeline_plot(run: RunHistory, found: Costs | None = None) -> go.Figure:
    """When each trial ran, by the clock, and how it ended; those that were stopped early have a mark.

    Args:
        run: whose trials.
        found: what stopping early saved, as a pale bar behind the mark; None leaves these bars out.
    """
    figure = go.Figure()
    spans = _spans(run)
    saved = {one.trial_id: one.saved_seconds for one in found.stopped} if found else {}
    _add_saved(figure, [span for span in spans if saved.get(span.trial_id, 0) > 0], saved)
    for status, colour in STATUS_COLOURS.items():
        of_status = [span for span in spans if span.status == status]
        if of_status:
            figure.add_bar(
                base=[span.start / 60 for span in of_status],
                x=[max(span.end - span.start, 1) / 60 for span in of_status],
                y=[span.place for span in of_status],
                text=[f"{span.label}: {status} at {short_count(span.env_steps)}" for span in of_status],
                textposition="none",
                hovertemplate="%{text} env steps<extra></extra>",
                orientation="h",
                marker_color=colour,
                name=status if status != STOPPED else "stopped early",
            )
    _mark_stopped(figure, [span for span in spans if span.status == STOPPED])
    figure.update_layout(
        barmode="overlay",
        xaxis_title="minutes since the first row",
        yaxis={
            "range": [len(spans) - 0.4, -0.6],
            "tickvals": [span.place for span in spans],
            "ticktext": [span.label for span in spans],
            "showgrid": False,
            "zeroline": False,
        },
        height=max(260, 24 * len(spans) + 150),
    )
    return figure


def front_plot(table: pd.DataFrame, first: str, second: str, on_front: Sequence[bool]) -> go.Figure:
    """Two objectives of every configuration, the Pareto front connected.

    Args:
        table: `analysis.summary.summary`.
        first, second: keys of the objectives.
        on_front: of each line of the table.
    """
    figure = go.Figure()
    front = table[list(on_front)].sort_values("mean")
    column = objective_column(second)
    figure.add_scatter(
        x=table["mean"], y=table[column], mode="markers", text=table["configuration"], name="configuration"
    )
    figure.add_scatter(
        x=front["mean"],
        y=front[column],
        mode="lines+markers",
        text=front["configuration"],
        name="Pareto front",
        marker={"size": 11},
    )
    figure.update_layout(xaxis_title=first, yaxis_title=second)
    return figure


def _spans(run: RunHistory) -> list[_Span]:
    """The trials whose rows have a time, in the order of the manifest."""
    timed = [trial for trial in run.trials if TIMESTAMP in trial.rows and trial.rows[TIMESTAMP].notna().any()]
    times = [trial.rows[TIMESTAMP].dropna() for trial in timed]
    begin = min((float(one.iloc[0]) for one in times), default=0.0)
    return [
        _Span(
            place,
            trial.record.id,
            trial.record.label,
            trial.status,
            float(one.iloc[0]) - begin,
            float(one.iloc[-1]) - begin,
            int(trial.rows[ENV_STEPS].iloc[-1]),
        )
        for place, (trial, one) in enumerate(zip(timed, times, strict=True))
    ]


def _add_saved(figure: go.Figure, spans: Sequence[_Span], saved: Mapping[str, float]) -> None:
    if not spans:
        return
    figure.add_bar(
        base=[span.end / 60 for span in spans],
        x=[saved[span.trial_id] / 60 for span in spans],
        y=[span.place for span in spans],
        hovertemplate="saved: %{x:.3g} minutes<extra></extra>",
        orientation="h",
        marker={"color": faint(STATUS_COLOURS[STOPPED], 0.22)},
        name="saved",
    )


def _mark_stopped(figure: go.Figure, spans: Sequence[_Span]) -> None:
    if not spans:
        return
    mark: dict[str, Any] = {"symbol": "x", "size": 9, "color": STATUS_COLOURS[STOPPED]}
    figure.add_scatter(
        x=[span.end / 60 for span in spans],
        y=[span.place for span in spans],
        mode="markers",
        marker=mark | {"line": {"width": 1, "color": "black"}},
        hoverinfo="skip",
        name="stopped here",
        showlegend=False,
    )
