"""Interactive learning curves, for the HTML report. What is drawn is computed in `analysis.curves`.

Colours of text, grid and background are left to the page, which has a dark and a light one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from analysis.colours import PALETTE, faint
from analysis.curves import MAX_CURVES, LearningCurve
from analysis.statistics import MIN_BAND_SEEDS, curve_band


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
            is_drawn = len(curve.seeds) >= MIN_BAND_SEEDS
            for bound, fill in ((low, None), (high, "tonexty")) if is_drawn else ():
                figure.add_scatter(
                    x=curve.env_steps,
                    y=bound,
                    mode="lines",
                    line={"width": 0, "color": colour},
                    fill=fill,
                    fillcolor=faint(colour, 0.18),
                    **group,
                )
            for seed in curve.seeds:
                line = {"width": 0.8, "color": faint(colour, 0.45)}
                figure.add_scatter(x=curve.env_steps, y=seed, mode="lines", line=line, **group)
        figure.add_scatter(
            x=curve.env_steps,
            y=curve.mean,
            mode="lines",
            line={
                "width": 3.2 if index == 0 else 1.8,
                "color": colour,
                "dash": "solid" if index < len(PALETTE) else "dash",
            },
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
            marker_color=[faint(PALETTE[index % len(PALETTE)], alpha) for alpha in alphas],
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
