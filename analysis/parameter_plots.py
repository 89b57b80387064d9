"""Interactive figures of what swept parameters do, for the HTML report.

Colours of text, grid and background are left to the page, which has a dark and a light one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from analysis.colours import MEAN_COLOUR, SEED_COLOUR
from analysis.comparison import ConfigurationResult
from analysis.contours import Contour
from analysis.parameters import SweptParameter, is_number

COLOUR_SCALE = "Viridis"
"""Its bright end is the better one, whatever the goal."""

MISSING = "none"
"""Tick of configurations that do not have a parameter."""

PARALLEL_TICKS = 5

DECADES_TOLD = 2
"""A logarithmic axis as long as that has ticks at whole powers of ten alone."""

PIXELS_OF_A_LETTER = 8
MARGINS = (80, 160)
"""Fewest and most pixels left of parallel coordinates: plotly's own, and what a telephone can spare."""


def parameter_plot(
    ranked: Sequence[ConfigurationResult], parameter: SweptParameter, metric: str
) -> go.Figure:
    """The last value of every seed against one swept parameter, and each configuration's mean.

    Args:
        ranked: configurations, the best first; those without the parameter are left out.
        parameter: on the x-axis.
        metric: on the y-axis.
    """
    values = parameter.values
    shown = [one for one in ranked if one.config_id in values]
    seeds = [(one.config_id, trial) for one in shown for trial in one.trials]
    figure = go.Figure()
    figure.add_scatter(
        x=[axis_value(values[config_id]) for config_id, _ in seeds],
        y=[trial.last for _, trial in seeds],
        mode="markers",
        marker={"size": 7, "opacity": 0.55, "color": SEED_COLOUR},
        name="a seed",
        text=[" · ".join(filter(None, (name, one.game, f"seed {one.seed}"))) for name, one in seeds],
    )
    figure.add_scatter(
        x=[axis_value(values[one.config_id]) for one in shown],
        y=[one.value for one in shown],
        mode="markers",
        marker={
            "size": [15 if one is ranked[0] else 10 for one in shown],
            "symbol": ["star" if one is ranked[0] else "diamond" for one in shown],
            "color": MEAN_COLOUR,
        },
        name="over its seeds (star: the best)",
        text=[one.config_id for one in shown],
    )
    figure.update_layout(xaxis=axis(parameter), yaxis_title=metric)
    return figure


def contour_plot(found: Contour, metric: str, *, maximize: bool) -> go.Figure:
    """Results over two parameters, with the configurations that they are interpolated from.

    Args:
        found: what is drawn.
        metric: beside the colours.
        maximize: whether more of it is better: the better end of the scale is the bright one.
    """
    shown = found.configurations
    results = [one.value for one in shown]
    figure = go.Figure()
    figure.add_contour(
        x=found.grid_x,
        y=found.grid_y,
        z=found.values,
        zmin=min(results),
        zmax=max(results),
        colorscale=COLOUR_SCALE,
        reversescale=not maximize,
        ncontours=12,
        line={"width": 0.4},
        colorbar={"title": {"text": metric, "side": "right"}, "thickness": 12, "outlinewidth": 0},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[found.x.values[one.config_id] for one in shown],
        y=[found.y.values[one.config_id] for one in shown],
        mode="markers",
        marker={
            "size": [15 if index == 0 else 9 for index in range(len(shown))],
            "symbol": [_symbol(one, is_best=index == 0) for index, one in enumerate(shown)],
            "color": "white",
            "line": {"width": 1.5, "color": "black"},
        },
        text=[f"{one.config_id}<br>{metric}: {one.value:.4g}" for one in shown],
        hoverinfo="text",
        showlegend=False,
    )
    figure.update_layout(xaxis=axis(found.x), yaxis=axis(found.y))
    return figure


def parallel_coordinates_plot(
    ranked: Sequence[ConfigurationResult],
    parameters: Sequence[SweptParameter],
    metric: str,
    *,
    maximize: bool,
) -> go.Figure:
    """One line per configuration through its values and its result."""
    known = [one for one in ranked if math.isfinite(one.value)]
    results = [one.value for one in known]
    dimensions = [_dimension(one, [result.config_id for result in known]) for one in parameters]
    line = {"color": results, "colorscale": COLOUR_SCALE, "reversescale": not maximize, "showscale": True}
    figure = go.Figure(
        go.Parcoords(line=line, dimensions=[*dimensions, {"label": metric, "values": results}])
    )
    # The first axis stands at the left edge, its names beyond it.
    widest = max((len(name) for name in dimensions[0].get("ticktext", [])), default=0) if dimensions else 0
    figure.update_layout(margin={"t": 60, "l": sorted([*MARGINS, widest * PIXELS_OF_A_LETTER])[1]})
    return figure


def bars_plot(shares: dict[str, float], title: str) -> go.Figure:
    """Horizontal bars, the largest on top."""
    order = sorted(shares, key=shares.__getitem__)
    places = list(range(len(order)))
    figure = go.Figure(
        go.Bar(x=[shares[key] for key in order], y=places, orientation="h", marker_color=MEAN_COLOUR)
    )
    figure.update_layout(
        xaxis={"title": title, "tickformat": ".0%"},
        yaxis={"tickvals": places, "ticktext": order},
        height=max(220, 36 * len(order) + 130),
    )
    return figure


def axis(parameter: SweptParameter) -> dict[str, Any]:
    """An axis of plotly for a parameter: logarithmic, linear, or of names."""
    kind = "log" if parameter.is_log else "linear" if parameter.is_numeric else "category"
    found = {"title": {"text": parameter.path}, "type": kind, "exponentformat": "e"}
    values = parameter.values.values()
    has_decades = parameter.is_log and max(values) / min(values) >= 10**DECADES_TOLD
    return found | ({"dtick": 1} if has_decades else {})


def axis_value(value: Any) -> Any:
    """A number as it is, anything else as its name."""
    return value if is_number(value) else str(value)


def _symbol(one: ConfigurationResult, *, is_best: bool) -> str:
    if is_best:
        return "star"
    return "x" if one.is_short else "circle"


def _dimension(parameter: SweptParameter, config_ids: Sequence[str]) -> dict[str, Any]:
    """An axis of parallel coordinates; configurations without the parameter stand below at MISSING."""
    values = [parameter.values.get(config_id) for config_id in config_ids]
    if not parameter.is_numeric:
        names = [MISSING if value is None else str(value) for value in values]
        return _named_axis(parameter.name, names)
    scaled = [value if value is None or not parameter.is_log else math.log10(value) for value in values]
    known = [place for place in scaled if place is not None]
    if not known or (len(known) == len(values) and not parameter.is_log):
        return {"label": parameter.name, "values": known}
    ticks = [float(tick) for tick in np.linspace(min(known), max(known), PARALLEL_TICKS)]
    texts = [f"{10**tick if parameter.is_log else tick:.2g}" for tick in ticks]
    below = 1.2 * ticks[0] - 0.2 * ticks[-1]
    has_all = len(known) == len(values)
    return {
        "label": parameter.name,
        "values": [below if place is None else place for place in scaled],
        "tickvals": ticks if has_all else [below, *ticks],
        "ticktext": texts if has_all else [MISSING, *texts],
    }


def _named_axis(label: str, names: Sequence[str]) -> dict[str, Any]:
    ticks = sorted(set(names))
    places = [ticks.index(name) for name in names]
    return {"label": label, "values": places, "tickvals": list(range(len(ticks))), "ticktext": ticks}
