"""`report/`: one HTML page with interactive figures, the same as markdown, CSV and JSON, pictures."""

from __future__ import annotations

from pathlib import Path

from analysis.curves import MAX_CURVES
from analysis.figures import draw_learning_curves
from analysis.findings import Findings
from analysis.page import write_page
from analysis.summary import write_summary
from analysis.throughput import write_throughput
from rlsweep.store.layout import RunLayout

SUMMARY_MD = "summary.md"
INDEX = "index.html"
FIGURE = "learning_curves.png"


def write_report(
    found: Findings, layout: RunLayout | None, folder: Path, *, refresh_seconds: float | None = None
) -> None:
    """Write a report anew: index.html, summary.md, summary.csv, summary.json, the figures.

    Args:
        found: what it says.
        layout: of the run; None for several together.
        folder: where to.
        refresh_seconds: the page loads itself again so often, while a run goes on.
    """
    run = found.run
    folder.mkdir(parents=True, exist_ok=True)
    curriculum = run.manifest.spec.get("curriculum") or {}
    draw_learning_curves(
        found.curves,
        run.objective.on_the_way.key,
        run.manifest.name,
        folder / FIGURE,
        [phase["name"] for phase in curriculum.get("phases", [])],
    )
    throughput = write_throughput(run, layout, folder)
    write_summary(run, found.summary, found.verdicts, folder)
    (folder / SUMMARY_MD).write_text(_markdown(found, throughput), "utf-8")
    write_page(found, folder / INDEX, layout, throughput, refresh_seconds=refresh_seconds)


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
        _table(found.intervals[0], found.intervals[1:]),
        "\n".join(f"- {text}" for text in found.cautions),
        f"![learning curves]({FIGURE})",
    ]
    if len(found.curves) > MAX_CURVES:
        parts.append(f"The figure shows the best {MAX_CURVES} of {len(found.curves)} configurations.")
    if throughput is not None:
        parts.append(f"Where the time went: [{throughput.name}]({throughput.name}).")
    return "\n\n".join(part for part in [*parts, found.origin] if part) + "\n"


def _table(header: list[str], lines: list[list[str]]) -> str:
    return "\n".join(_row(cells) for cells in (header, ["---"] * len(header), *lines))


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
