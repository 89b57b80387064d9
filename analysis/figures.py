"""Pictures of a run for papers and markdown, each as PNG and SVG. What is drawn is computed elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter

from analysis.colours import MEAN_COLOUR, PALETTE, SEED_COLOUR
from analysis.comparison import ConfigurationResult
from analysis.curves import MAX_CURVES, LearningCurve
from analysis.parameters import SweptParameter

CURVES_INCHES = 4.5
BAND_INCHES = 0.25
"""Heights of the curves, and of one trial's band of phases."""

PANEL_INCHES = (3.2, 2.7)
PANELS_IN_A_ROW = 3

_COLOURS = tuple(PALETTE[index % len(PALETTE)] for index in range(MAX_CURVES))


def draw_learning_curves(
    curves: list[LearningCurve], metric: str, title: str, path: Path, phase_names: Sequence[str] = ()
) -> None:
    """Write a PNG and an SVG: env steps on the x-axis, a line for each configuration's mean, a thin one per
    seed.

    With a curriculum, bands below the curves show which phase each trial was in.

    Args:
        curves: the best first.
        metric: on the y-axis.
        title: above.
        path: of the PNG; the SVG lies beside it.
        phase_names: of the curriculum; empty without one.
    """
    shown = curves[:MAX_CURVES]
    num_bands = sum(len(curve.phases) for curve in shown) if phase_names else 0
    heights = [CURVES_INCHES, *([BAND_INCHES * num_bands] if num_bands else [])]
    figure, panels = plt.subplots(
        len(heights),
        figsize=(8, sum(heights)),
        height_ratios=heights,
        dpi=150,
        layout="constrained",
        sharex=True,
        squeeze=False,
    )
    axes, lowest = panels[0, 0], panels[-1, 0]
    for index, (colour, curve) in enumerate(zip(_COLOURS, shown, strict=False)):
        count = len(curve.seeds)
        style = "-" if index < len(PALETTE) else "--"
        if count > 1:
            axes.plot(curve.env_steps, curve.seeds.T, color=colour, linewidth=0.7, alpha=0.4)
        label = f"{curve.config_id} ({count} seed{'s' if count > 1 else ''})"
        axes.plot(curve.env_steps, curve.mean, color=colour, linewidth=1.8, linestyle=style, label=label)
    axes.set_title(title, loc="left")
    axes.set_ylabel(f"{metric} (mean of the last 100 whole games)" if metric == "score" else metric)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if curves:
        axes.legend(frameon=False, fontsize=8)
    if num_bands:
        _draw_phases(lowest, shown, phase_names)
    lowest.set_xlabel("env steps")
    lowest.xaxis.set_major_formatter(EngFormatter(sep=""))
    _save(figure, path)


def draw_parameters(
    ranked: Sequence[ConfigurationResult],
    parameters: Sequence[SweptParameter],
    metric: str,
    title: str,
    path: Path,
) -> None:
    """Write a PNG and an SVG: a panel for each parameter, with the last value of every seed and what each
    configuration has over its seeds.

    Args:
        ranked: configurations, the best first.
        parameters: at least one.
        metric: on the y-axis.
        title: above.
        path: of the PNG; the SVG lies beside it.
    """
    columns = min(PANELS_IN_A_ROW, len(parameters))
    rows = math.ceil(len(parameters) / columns)
    width, height = PANEL_INCHES
    figure, panels = plt.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows + 0.6),
        dpi=150,
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axes, parameter in zip(panels.flat, parameters, strict=False):
        _draw_parameter(axes, ranked, parameter)
    for axes in panels.flat[len(parameters) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel(metric)
    figure.suptitle(title, x=0.01, ha="left")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False, fontsize=8)
    _save(figure, path)


def _draw_parameter(axes: Axes, ranked: Sequence[ConfigurationResult], parameter: SweptParameter) -> None:
    """Seeds, configurations, and a star for the best one."""
    shown = [one for one in ranked if one.config_id in parameter.values]
    places = _places(axes, shown, parameter)
    seeds = [(places[one.config_id], trial.last) for one in shown for trial in one.trials]
    rest = [(places[one.config_id], one.value) for one in shown if one is not ranked[0]]
    best = [(places[one.config_id], one.value) for one in shown if one is ranked[0]]
    looks: list[tuple[list[tuple[Any, float]], str, dict[str, Any]]] = [
        (seeds, "a seed", {"s": 22, "color": SEED_COLOUR, "alpha": 0.7, "linewidth": 0, "zorder": 4}),
        (rest, "over its seeds", {"s": 34, "color": MEAN_COLOUR, "marker": "D", "zorder": 3}),
        (best, "the best", {"s": 130, "color": MEAN_COLOUR, "marker": "*", "zorder": 3}),
    ]
    for points, label, style in looks:
        axes.scatter(*np.array(points, dtype=float).reshape(-1, 2).T, label=label, **style)
    axes.set_xlabel(parameter.path, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _places(
    axes: Axes, configurations: Sequence[ConfigurationResult], parameter: SweptParameter
) -> dict[str, Any]:
    """Config id -> place on the x-axis, which becomes logarithmic, linear, or one of names."""
    values = {one.config_id: parameter.values[one.config_id] for one in configurations}
    if parameter.is_numeric:
        axes.set_xscale("log" if parameter.is_log else "linear")
        return values
    names = sorted({str(value) for value in parameter.values.values()})
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    return {config_id: names.index(str(value)) for config_id, value in values.items()}


def _save(figure: Figure, path: Path) -> None:
    """As PNG and, beside it, as SVG; the same figure gives the same files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)


def _draw_phases(axes: Axes, curves: list[LearningCurve], names: Sequence[str]) -> None:
    """Bands, one for each trial in its configuration's colour: the later the phase, the darker."""
    bands = [
        (colour, curve, phases)
        for colour, curve in zip(_COLOURS, curves, strict=False)
        for phases in curve.phases
    ]
    for row, (colour, curve, phases) in enumerate(bands):
        for index, name in enumerate(names):
            is_in = phases == index
            extent = (row + 0.1, row + 0.9)
            alpha = (index + 1) / len(names)
            axes.fill_between(curve.env_steps, *extent, where=is_in, color=colour, alpha=alpha, linewidth=0)
            for start in _starts(is_in):
                text = axes.text(
                    curve.env_steps[start], row + 0.55, f" {name}", fontsize=7, va="center", clip_on=True
                )
                end = curve.env_steps[start:][is_in[start:].argmin() - 1]
                text.set_clip_path(Rectangle((0, row), end, 1, transform=axes.transData))
    axes.set_ylim(len(bands), 0)
    axes.set_yticks([])
    axes.set_ylabel("phase")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _starts(is_in: np.ndarray) -> list[int]:
    """Where runs of True begin."""
    return [int(index) for index in np.flatnonzero(np.diff(is_in.astype(int), prepend=0) == 1)]
