"""`report/throughput.md`: where a trial's time went, with a graph of each value of LearnerDiagnostics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import EngFormatter

from analysis.bottleneck import Shares, has_diagnostics, shares, verdict
from analysis.history import RunHistory
from analysis.markdown import markdown_table
from analysis.own_rows import read_rows
from analysis.reading import last_row_of
from rlsweep.store.layout import RunLayout
from rlsweep.store.rows import DIAGNOSTICS_PREFIX, ENV_STEPS, LEARNER_PREFIX, SCORE

PAGE = "throughput.md"
FIGURE = "throughput.png"
COLUMNS = 4
MAX_TRIALS = 10

BESIDE = (SCORE, *(LEARNER_PREFIX + key for key in ("policy_loss", "vf_loss", "entropy", "gradient_norm")))
"""Row keys that are drawn before the diagnostics."""


@dataclass(frozen=True)
class ThroughputPage:
    """What was written.

    Attributes:
        page, figure: in the folder of the report.
        sentences: which resource holds each trial up.
    """

    page: Path
    figure: Path
    sentences: list[str]


def write_throughput(run: RunHistory, layout: RunLayout | None, folder: Path) -> ThroughputPage | None:
    """Write the page and its figure.

    Args:
        run: some of whose trials have diagnostics.
        layout: where their rows lie; None for several runs together, or a cut one, which have no such page.
        folder: of the report.

    Returns:
        None where no trial has diagnostics.
    """
    paths = {} if layout is None else {one.record.id: layout.result_json(one.record.id) for one in run.trials}
    trials = {trial_id: path for trial_id, path in paths.items() if has_diagnostics(last_row_of(path))}
    if not trials:
        return None
    shown = {trial_id: read_rows(path)[0] for trial_id, path in list(trials.items())[:MAX_TRIALS]}
    _draw(shown, run.manifest.name, folder / FIGURE)
    found = {trial_id: shares(rows) for trial_id, rows in shown.items()}
    sentences = [f"`{trial_id}`: {verdict(one)}" for trial_id, one in found.items()]
    rest = [f"The first {MAX_TRIALS} of {len(trials)} trials."] if len(trials) > MAX_TRIALS else []
    parts = [
        f"# {run.manifest.name}: throughput",
        *rest,
        "\n".join(f"- {sentence}" for sentence in sentences),
        _table(found),
        "Medians over the last half of each trial's rows; forward, backward and optimizer of one minibatch. "
        "An epoch consumes its env steps again.",
        f"![diagnostics]({FIGURE})",
    ]
    page = folder / PAGE
    page.write_text("\n\n".join(parts) + "\n", "utf-8")
    return ThroughputPage(page, folder / FIGURE, sentences)


def _table(found: dict[str, Shares]) -> str:
    parts = list(next(iter(found.values())).seconds)
    header = [
        "trial",
        "learner busy",
        "env runner busy",
        "CPUs busy",
        "env steps/s produced",
        "consumed",
        *(f"{part.replace('_', ' ')} (ms)" for part in parts),
    ]
    lines = [
        [
            trial_id,
            _percent(one.learner),
            _percent(one.env_runners),
            _percent(one.node_cpus),
            _number(one.produced, 0),
            _number(one.consumed, 0),
            *(_number(1000 * one.seconds[part], 2) for part in parts),
        ]
        for trial_id, one in found.items()
    ]
    return markdown_table(header, lines)


def _draw(trials: dict[str, pd.DataFrame], title: str, path: Path) -> None:
    """Small multiples: one panel for each value, one line for each trial."""
    known = dict.fromkeys(str(column) for rows in trials.values() for column in rows.columns)
    keys = [key for key in BESIDE if key in known] + [
        key for key in known if key.startswith(DIAGNOSTICS_PREFIX)
    ]
    height = math.ceil(len(keys) / COLUMNS)
    figure, panels = plt.subplots(
        height, COLUMNS, figsize=(3.2 * COLUMNS, 1.9 * height), dpi=130, layout="constrained", squeeze=False
    )
    for axes, key in zip(panels.flat, keys, strict=False):
        for trial_id, rows in trials.items():
            if key in rows:
                axes.plot(rows[ENV_STEPS], rows[key].to_numpy(float), linewidth=1.1, label=trial_id)
        axes.set_title(key.removeprefix(DIAGNOSTICS_PREFIX), loc="left", fontsize=8)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if key.endswith("_seconds"):
            axes.yaxis.set_major_formatter(EngFormatter(sep="", unit="s"))
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels.flat[len(keys) :]:
        axes.set_visible(False)
    figure.suptitle(f"{title}, over env steps", x=0.01, ha="left", fontsize=10)
    if len(trials) > 1:
        figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower left", fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if math.isfinite(share) else "–"


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if np.isfinite(value) else "–"
