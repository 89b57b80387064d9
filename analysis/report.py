"""`report/`: one HTML page with interactive figures, the same as markdown, CSV and JSON, pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.cuts import Cut
from analysis.figures import MAX_CURVES, draw_learning_curves
from analysis.findings import Findings, find
from analysis.page import write_page
from analysis.summary import write_summary
from analysis.throughput import write_throughput
from rlsweep.store.layout import RunLayout

SUMMARY_MD = "summary.md"
INDEX = "index.html"
FIGURE = "learning_curves.png"


def write_report(layout: RunLayout, cut: Cut | None = None) -> Findings:
    """Write `report/` anew: index.html, summary.md, summary.csv, summary.json, the figures.

    Args:
        layout: of a run of ours, or of any experiment of Ray Tune.
        cut: compare the trials as they stood there, and not at their ends.

    Returns:
        What the report says.

    Raises:
        RunError: the run cannot be read.
    """
    found = find(layout, cut)
    run = found.run
    layout.report.mkdir(parents=True, exist_ok=True)
    curriculum = run.manifest.spec.get("curriculum") or {}
    draw_learning_curves(
        found.curves,
        run.objective.on_the_way.key,
        run.manifest.name,
        layout.report / FIGURE,
        [phase["name"] for phase in curriculum.get("phases", [])],
    )
    throughput = write_throughput(run, layout.report)
    write_summary(run, found.summary, found.verdicts, layout.report)
    (layout.report / SUMMARY_MD).write_text(_markdown(found, throughput), "utf-8")
    write_page(found, layout.report / INDEX, throughput)
    return found


def _markdown(found: Findings, throughput: Path | None) -> str:
    manifest = found.run.manifest
    header, *lines = found.table
    parts = [
        f"# {manifest.name}",
        str(manifest.spec.get("description", "")),
        *found.objectives,
        "\n".join(f"- {text}" for text in found.verdicts),
        "Best first.",
        _table(header, lines),
        "Over seeds, with 95 % bootstrap intervals (a single seed has none):",
        _intervals(found.summary),
        "\n".join(f"- {text}" for text in found.cautions),
        f"![learning curves]({FIGURE})",
    ]
    if len(found.curves) > MAX_CURVES:
        parts.append(f"The figure shows the best {MAX_CURVES} of {len(found.curves)} configurations.")
    if throughput is not None:
        parts.append(f"Where the time went: [{throughput.name}]({throughput.name}).")
    return "\n\n".join(part for part in [*parts, found.origin] if part) + "\n"


def _intervals(figures: pd.DataFrame) -> str:
    header = ["configuration", "mean", "median", "interquartile mean", "area under the curve", "games"]
    lines = [
        [
            str(line["configuration"]),
            *(_interval(line, name) for name in ("mean", "median", "iqm")),
            _number(line["auc"]),
            f"{line['games']:,}",
        ]
        for line in figures.to_dict(orient="records")
    ]
    return _table(header, lines)


def _interval(line: Mapping[Any, Any], name: str) -> str:
    low, high = line[f"{name}_low"], line[f"{name}_high"]
    span = f" ({_number(low)} to {_number(high)})" if math.isfinite(low) else ""
    return _number(line[name]) + span


def _table(header: list[str], lines: list[list[str]]) -> str:
    return "\n".join(_row(cells) for cells in (header, ["---"] * len(header), *lines))


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"
