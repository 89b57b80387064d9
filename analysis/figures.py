"""Pictures of a run for papers and markdown. What is drawn is computed in `analysis.curves`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter

from analysis.curves import MAX_CURVES, LearningCurve

CURVES_INCHES = 4.5
BAND_INCHES = 0.25
"""Heights of the curves, and of one trial's band of phases."""

_COLOURS = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]


def draw_learning_curves(
    curves: list[LearningCurve], metric: str, title: str, path: Path, phase_names: Sequence[str] = ()
) -> None:
    """Write a PNG: env steps on the x-axis, a line for each configuration's mean, a thin one per seed.

    With a curriculum, bands below the curves show which phase each trial was in.

    Args:
        curves: the best first.
        metric: on the y-axis.
        title: above.
        path: of the PNG.
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
    for colour, curve in zip(_COLOURS, shown, strict=False):
        count = len(curve.seeds)
        if count > 1:
            axes.plot(curve.env_steps, curve.seeds.T, color=colour, linewidth=0.7, alpha=0.4)
        label = f"{curve.config_id} ({count} seed{'s' if count > 1 else ''})"
        axes.plot(curve.env_steps, curve.mean, color=colour, linewidth=1.8, label=label)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
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
