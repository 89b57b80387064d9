"""Pictures of a run. What is drawn is computed apart from the drawing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import EngFormatter

from analysis.comparison import is_valid
from analysis.history import RunHistory
from rlsweep.store.rows import ENV_STEPS

GRID_POINTS = 400
MAX_CURVES = 10
"""More curves in one figure cannot be told apart; the best ones are drawn."""


@dataclass(frozen=True)
class LearningCurve:
    """One configuration's metric over env steps.

    Attributes:
        config_id: readable name.
        env_steps: (points,), common to all seeds, up to where the longest of them reaches.
        seeds: (seeds, points), the value that each seed had at that number of env steps; NaN before its
            first valid row and after its last one.
    """

    config_id: str
    env_steps: np.ndarray
    seeds: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(points,) over the seeds; NaN where one is missing, for the mean of the rest would jump there."""
        return np.asarray(self.seeds.mean(axis=0))


def learning_curves(run: RunHistory) -> list[LearningCurve]:
    """The curves of all configurations that have a valid value, over the seeds that they are judged by."""
    groups: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for trial in run.judged_trials():
        rows = trial.rows
        key = run.objective.on_the_way.key
        if key not in rows:
            continue
        values, shown = rows[key].to_numpy(float), is_valid(rows, key)
        if shown.any():
            steps = rows[ENV_STEPS].to_numpy(float)
            groups[trial.record.config_id].append((steps[shown], values[shown]))
    return [_curve(config_id, seeds) for config_id, seeds in groups.items()]


def draw_learning_curves(curves: list[LearningCurve], metric: str, title: str, path: Path) -> None:
    """Write a PNG: env steps on the x-axis, a line for each configuration's mean, a thin one per seed."""
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=150, layout="constrained")
    colours = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]
    for colour, curve in zip(colours, curves[:MAX_CURVES], strict=False):
        count = len(curve.seeds)
        if count > 1:
            axes.plot(curve.env_steps, curve.seeds.T, color=colour, linewidth=0.7, alpha=0.4)
        label = f"{curve.config_id} ({count} seed{'s' if count > 1 else ''})"
        axes.plot(curve.env_steps, curve.mean, color=colour, linewidth=1.8, label=label)
    axes.set_title(title, loc="left")
    axes.set_xlabel("env steps")
    axes.set_ylabel(f"{metric} (mean of the last 100 whole games)" if metric == "score" else metric)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if curves:
        axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def _curve(config_id: str, seeds: list[tuple[np.ndarray, np.ndarray]]) -> LearningCurve:
    grid = np.linspace(min(steps[0] for steps, _ in seeds), max(steps[-1] for steps, _ in seeds), GRID_POINTS)
    values = np.stack([np.interp(grid, steps, values, left=np.nan, right=np.nan) for steps, values in seeds])
    return LearningCurve(config_id, grid, values)
