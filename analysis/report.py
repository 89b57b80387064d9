"""`report/`: one HTML page with interactive figures, the same as markdown, CSV and JSON, and pictures."""

from __future__ import annotations

from pathlib import Path

from analysis import costs, lineage
from analysis.curves import MAX_CURVES
from analysis.figures import draw_learning_curves, draw_parameters
from analysis.findings import Findings
from analysis.markdown import markdown_table
from analysis.page import write_page
from analysis.parameters import swept_parameters
from analysis.sections import MAX_PARAMETERS
from analysis.summary import write_summary
from analysis.throughput import ThroughputPage, write_throughput
from rlsweep.store.layout import RunLayout

SUMMARY_MD = "summary.md"
INDEX = "index.html"
FIGURE = "learning_curves.png"
PARAMETERS_FIGURE = "parameters.png"
"""An SVG of the same name lies beside each."""


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
    draw_learning_curves(
        found.curves,
        run.objective.on_the_way.key,
        run.manifest.name,
        folder / FIGURE,
        run.manifest.phase_names,
    )
    parameters = swept_parameters(run)[:MAX_PARAMETERS]
    if parameters:
        draw_parameters(
            found.ranked, parameters, run.objective.key, run.manifest.name, folder / PARAMETERS_FIGURE
        )
    throughput = write_throughput(run, layout if found.cut is None else None, folder)
    write_summary(run, found.summary, found.verdicts, folder)
    markdown = _markdown(found, layout, throughput, has_parameters=bool(parameters))
    (folder / SUMMARY_MD).write_text(markdown, "utf-8")
    write_page(found, folder / INDEX, layout, throughput, refresh_seconds=refresh_seconds)


def _markdown(
    found: Findings, layout: RunLayout | None, throughput: ThroughputPage | None, *, has_parameters: bool
) -> str:
    manifest = found.run.manifest
    header, *lines = found.table
    parts = [
        f"# {manifest.name}",
        str(manifest.spec.get("description", "")),
        *found.objectives,
        "\n".join(f"- {text}" for text in found.verdicts),
        "Best first.",
        markdown_table(header, lines),
        "Over seeds, with 95 % intervals (a single seed has none):",
        markdown_table(found.intervals[0], found.intervals[1:]),
        *(["By game:", markdown_table(found.by_game[0], found.by_game[1:])] if found.by_game else []),
        "\n".join(f"- {text}" for text in found.cautions),
        _population(found, layout),
        " ".join(costs.in_words(costs.costs(found.run))),
        *_figures(found, has_parameters=has_parameters),
    ]
    if throughput is not None:
        parts.append(f"Where the time went: [{throughput.page.name}]({throughput.page.name}).")
    return "\n\n".join(part for part in [*parts, found.origin] if part) + "\n"


def _figures(found: Findings, *, has_parameters: bool) -> list[str]:
    """The pictures that lie beside the page."""
    parts = [f"![learning curves]({FIGURE})"]
    if len(found.ranked) > MAX_CURVES:
        parts.append(f"The figure shows the best {MAX_CURVES} of {len(found.ranked)} configurations.")
    shown = [FIGURE]
    if has_parameters:
        parts.append(f"![what each parameter does]({PARAMETERS_FIGURE})")
        shown.append(PARAMETERS_FIGURE)
    names = [name.replace(".png", ".svg") for name in shown]
    return [*parts, f"The same for papers: {', '.join(f'[{name}]({name})' for name in names)}."]


def _population(found: Findings, layout: RunLayout | None) -> str:
    """How the best weights of a population came about; empty for other runs."""
    exploits = lineage.read_exploits(found.run, layout) if layout else []
    if not exploits:
        return ""
    way = lineage.ancestry(found.run, exploits, found.ranked[0].trials[0].trial_id)
    return lineage.in_words(way, lineage.member_names(found.run))
