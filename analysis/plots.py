"""Interactive figures of a run, for the HTML report. What is drawn is computed in other modules.

Colours of text, grid and background are left to the page, which has a dark and a light one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.comparison import ConfigurationResult
from analysis.curves import MAX_CURVES, LearningCurve
from analysis.history import RunHistory
from analysis.statistics import curve_band
from rlsweep.store.manifest import DIVERGED, FAILED, FINISHED, INTERRUPTED, RUNNING, STOPPED
from rlsweep.store.rows import TIMESTAMP

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999999", "#B8A900")
"""Okabe and Ito 2008: told apart by the colour-blind too; their yellow darker, for a white page."""

STATUS_COLOURS = {
    FINISHED: "#009E73",
    STOPPED: "#E69F00",
    RUNNING: "#56B4E9",
    INTERRUPTED: "#999999",
    FAILED: "#D55E00",
    DIVERGED: "#CC79A7",
}

LOG_RATIO = 20.0
"""Positive values that span more than this get a logarithmic axis."""


def learning_curves_plot(
    curves: Sequence[LearningCurve], metric: str, phase_names: Sequence[str] = ()
) -> go.Figure:
    """Mean over seeds with its 95 % interval, the best configuration thicker; seeds as thin lines.

    With a curriculum, a band for each trial below the curves: the later the phase, the darker.

    Args:
        curves: the best first; the first MAX_CURVES are drawn.
        metric: on the y-axis.
        phase_names: of the curriculum; empty without one.
    """
    figure = go.Figure()
    if phase_names:
        _draw_phases(figure, curves[:MAX_CURVES], phase_names)
    for index, curve in enumerate(curves[:MAX_CURVES]):
        colour = PALETTE[index % len(PALETTE)]
        group = {"legendgroup": curve.config_id, "hoverinfo": "skip", "showlegend": False}
        if len(curve.seeds) > 1:
            low, high = curve_band(curve.seeds)
            for bound, fill in ((low, None), (high, "tonexty")):
                figure.add_scatter(
                    x=curve.env_steps,
                    y=bound,
                    mode="lines",
                    line={"width": 0, "color": colour},
                    fill=fill,
                    fillcolor=_faint(colour, 0.18),
                    **group,
                )
            for seed in curve.seeds:
                line = {"width": 0.8, "color": _faint(colour, 0.45)}
                figure.add_scatter(x=curve.env_steps, y=seed, mode="lines", line=line, **group)
        figure.add_scatter(
            x=curve.env_steps,
            y=curve.mean,
            mode="lines",
            line={"width": 3.2 if index == 0 else 1.8, "color": colour},
            name=f"{curve.config_id} ({len(curve.seeds)} seed{'s' if len(curve.seeds) > 1 else ''})",
            legendgroup=curve.config_id,
        )
    figure.update_layout(xaxis_title="env steps", yaxis_title=metric)
    return figure


def _draw_phases(figure: go.Figure, curves: Sequence[LearningCurve], names: Sequence[str]) -> None:
    bands = [(index, curve, phases) for index, curve in enumerate(curves) for phases in curve.phases]
    for row, (index, curve, phases) in enumerate(bands):
        spans = _spans(curve.env_steps, phases)
        alphas = [(phase + 1) / len(names) for phase, _, _ in spans]
        figure.add_bar(
            base=[start for _, start, _ in spans],
            x=[end - start for _, start, end in spans],
            y=[row] * len(spans),
            orientation="h",
            yaxis="y2",
            marker_color=[_faint(PALETTE[index % len(PALETTE)], alpha) for alpha in alphas],
            text=[names[phase] for phase, _, _ in spans],
            textposition="inside",
            insidetextanchor="start",
            textangle=0,
            hovertext=[f"{curve.config_id}: {names[phase]} from {start:,.0f}" for phase, start, _ in spans],
            hoverinfo="text",
            showlegend=False,
        )
    share = min(0.4, 0.05 * len(bands) + 0.03)
    figure.update_layout(
        barmode="overlay",
        uniformtext={"mode": "hide", "minsize": 9},
        height=380 + 18 * len(bands),
        xaxis={"anchor": "y2"},
        yaxis={"domain": [share + 0.04, 1]},
        yaxis2={"domain": [0, share], "showticklabels": False, "autorange": "reversed", "title": "phase"},
    )


def _spans(env_steps: np.ndarray, phases: np.ndarray) -> list[tuple[int, float, float]]:
    """Phase, beginning and end of each stretch of (points,) in one phase; NaN is none."""
    found: list[tuple[int, float, float]] = []
    for phase, step in zip(phases, env_steps, strict=True):
        if math.isnan(phase):
            continue
        if found and found[-1][0] == phase:
            found[-1] = (int(phase), found[-1][1], float(step))
        else:
            begin = found[-1][2] if found else float(step)
            found.append((int(phase), begin, float(step)))
    return found


def parameter_plot(
    ranked: Sequence[ConfigurationResult], values: Mapping[str, Any], path: str, metric: str
) -> go.Figure:
    """The last value of every seed against one swept parameter, and each configuration's mean.

    Args:
        ranked: configurations, the best first.
        values: config id -> its value of the parameter; those without it are left out.
        path: of the parameter.
        metric: on the y-axis.
    """
    shown = [one for one in ranked if one.config_id in values]
    seeds = [(one.config_id, trial) for one in shown for trial in one.trials]
    figure = go.Figure()
    figure.add_scatter(
        x=[_axis_value(values[config_id]) for config_id, _ in seeds],
        y=[trial.last for _, trial in seeds],
        mode="markers",
        marker={"size": 7, "opacity": 0.55, "color": PALETTE[5]},
        name="a seed",
        text=[f"{config_id} · seed {trial.seed}" for config_id, trial in seeds],
    )
    figure.add_scatter(
        x=[_axis_value(values[one.config_id]) for one in shown],
        y=[one.value for one in shown],
        mode="markers",
        marker={
            "size": [15 if one is ranked[0] else 10 for one in shown],
            "symbol": ["star" if one is ranked[0] else "diamond" for one in shown],
            "color": PALETTE[0],
        },
        name="over its seeds (star: the best)",
        text=[one.config_id for one in shown],
    )
    kind = "log" if is_logarithmic([values[one.config_id] for one in shown]) else None
    figure.update_layout(xaxis={"title": path, "type": kind, "exponentformat": "e"}, yaxis_title=metric)
    return figure


def parallel_coordinates_plot(table: pd.DataFrame, paths: Sequence[str], metric: str) -> go.Figure:
    """One line per configuration through its values and its result."""
    known = table[np.isfinite(table["mean"].to_numpy(float))]
    dimensions = [_dimension(known[path], path) for path in paths]
    results = known["mean"].to_numpy(float)
    figure = go.Figure(
        go.Parcoords(
            line={"color": results, "colorscale": "Viridis", "showscale": True},
            dimensions=[*dimensions, {"label": metric, "values": results}],
        )
    )
    figure.update_layout(margin={"t": 60})
    return figure


def bars_plot(shares: dict[str, float], title: str) -> go.Figure:
    """Horizontal bars, the largest on top."""
    order = sorted(shares, key=shares.__getitem__)
    figure = go.Figure(
        go.Bar(x=[shares[key] for key in order], y=order, orientation="h", marker_color=PALETTE[0])
    )
    height = max(200, 36 * len(order) + 110)
    figure.update_layout(xaxis={"title": title, "tickformat": ".0%"}, height=height)
    return figure


def timeline_plot(run: RunHistory) -> go.Figure:
    """When each trial ran, by the clock, and how it ended."""
    figure = go.Figure()
    spans = [
        (trial.record, trial.rows[TIMESTAMP].iloc[0], trial.rows[TIMESTAMP].iloc[-1])
        for trial in run.trials
        if len(trial.rows) and TIMESTAMP in trial.rows
    ]
    begin = min((start for _, start, _ in spans), default=0)
    for status, colour in STATUS_COLOURS.items():
        found = [span for span in spans if span[0].status == status]
        if found:
            figure.add_bar(
                base=[(start - begin) / 60 for _, start, _ in found],
                x=[max(end - start, 1) / 60 for _, start, end in found],
                y=[f"{record.config_id} · seed {record.seed}" for record, _, _ in found],
                orientation="h",
                marker_color=colour,
                name=status,
            )
    figure.update_layout(
        barmode="overlay",
        xaxis_title="minutes since the first row",
        yaxis={"autorange": "reversed", "automargin": True},
        height=max(260, 24 * len(spans) + 120),
    )
    return figure


def front_plot(table: pd.DataFrame, first: str, second: str, on_front: Sequence[bool]) -> go.Figure:
    """Two objectives of every configuration, the Pareto front connected."""
    figure = go.Figure()
    front = table[list(on_front)].sort_values("mean")
    figure.add_scatter(
        x=table["mean"], y=table[second], mode="markers", text=table["configuration"], name="configuration"
    )
    figure.add_scatter(
        x=front["mean"],
        y=front[second],
        mode="lines+markers",
        text=front["configuration"],
        name="Pareto front",
        marker={"size": 11},
    )
    figure.update_layout(xaxis_title=first, yaxis_title=second)
    return figure


def is_logarithmic(values: Sequence[Any]) -> bool:
    """Whether values belong on a logarithmic axis: positive numbers that span more than LOG_RATIO."""
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) < len(values) or len(numbers) < 2 or min(numbers) <= 0:
        return False
    return max(numbers) / min(numbers) > LOG_RATIO


def _dimension(column: pd.Series, path: str) -> dict[str, Any]:
    label = path.rpartition(".")[2]
    values = list(column)
    if is_logarithmic(values):
        logarithms = [math.log10(value) for value in values]
        ticks = sorted(set(logarithms))
        return {
            "label": label,
            "values": logarithms,
            "tickvals": ticks,
            "ticktext": [f"{10**tick:.3g}" for tick in ticks],
        }
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return {"label": label, "values": values}
    names = sorted({str(value) for value in values})
    return {
        "label": label,
        "values": [names.index(str(value)) for value in values],
        "tickvals": list(range(len(names))),
        "ticktext": names,
    }


def _axis_value(value: Any) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _faint(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
