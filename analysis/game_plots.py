"""Interactive figures of configurations that play several games, for the HTML report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from analysis.colours import PALETTE
from analysis.comparison import ConfigurationResult
from analysis.curves import MAX_CURVES
from analysis.statistics import performance_profile

POINTS = 200


def profiles_plot(ranked: Sequence[ConfigurationResult], metric: str) -> go.Figure:
    """Performance profiles: the share of each configuration's trials above every value (`statistics`).

    One line above another everywhere is better whatever value one asks for; lines that cross say that the
    order depends on it.

    Args:
        ranked: the best first; the first MAX_CURVES that have a value are drawn.
        metric: on the x-axis.
    """
    shown = [one for one in ranked if one.valid_seeds][:MAX_CURVES]
    values = np.concatenate([one.scores.ravel() for one in shown])
    span = np.ptp(values) or 1.0
    thresholds = np.linspace(values.min() - 0.05 * span, values.max() + 0.05 * span, POINTS)
    figure = go.Figure()
    for index, one in enumerate(shown):
        figure.add_scatter(
            x=thresholds,
            y=performance_profile(one.scores, thresholds),
            mode="lines",
            line={
                "shape": "hv",
                "width": 3.2 if index == 0 else 1.8,
                "color": PALETTE[index % len(PALETTE)],
                "dash": "solid" if index < len(PALETTE) else "dash",
            },
            name=one.config_id,
        )
    figure.update_layout(
        xaxis_title=f"{metric} τ", yaxis={"title": "trials above τ", "tickformat": ".0%", "range": [0, 1.02]}
    )
    return figure
