"""`report/`: the run in one page of markdown and one figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.comparison import ConfigurationResult, compare
from analysis.cuts import Cut, cut_off
from analysis.figures import MAX_CURVES, draw_learning_curves, learning_curves
from analysis.history import RunHistory, read_run
from analysis.reading import Skipped
from analysis.summary import summary, write_summary
from analysis.throughput import write_throughput
from analysis.verdicts import verdicts
from rlsweep.spec import Sweep
from rlsweep.spec.values import value_at
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import Objective

REPORT = "report.md"
FIGURE = "learning_curves.png"


def write_report(layout: RunLayout, cut: Cut | None = None) -> Path:
    """Write `report/` anew: the page, its figures, the summary as CSV and JSON.

    Args:
        layout: of a run of ours, or of any experiment of Ray Tune.
        cut: compare the trials as they stood there, and not at their ends.

    Returns:
        The path of the markdown file.

    Raises:
        RunError: the run cannot be read.
    """
    run = read_run(layout)
    if cut is not None:
        run = cut_off(run, cut)
    ranked = compare(run)
    order = [configuration.config_id for configuration in ranked]
    curves = sorted(learning_curves(run), key=lambda curve: order.index(curve.config_id))
    layout.report.mkdir(parents=True, exist_ok=True)
    curriculum = run.manifest.spec.get("curriculum") or {}
    draw_learning_curves(
        curves,
        run.objective.on_the_way.key,
        run.manifest.name,
        layout.report / FIGURE,
        [phase["name"] for phase in curriculum.get("phases", [])],
    )
    throughput = write_throughput(run, layout.report)
    sentences = verdicts(ranked, _default(run), maximize=run.objective.maximize)
    figures = summary(run, ranked)
    write_summary(run, figures, sentences, layout.report)
    parts = _parts(run, ranked, figures, sentences, cut)
    if len(curves) > MAX_CURVES:
        parts.append(f"The figure shows the best {MAX_CURVES} of {len(curves)} configurations.")
    if throughput is not None:
        parts.append(f"Where the time went: [{throughput.name}]({throughput.name}).")
    target = layout.report / REPORT
    target.write_text("\n\n".join(part for part in [*parts, _origin(run)] if part) + "\n", "utf-8")
    return target


def table(run: RunHistory, ranked: list[ConfigurationResult]) -> list[list[str]]:
    """Header and one line per configuration, the best first."""
    first, *others = run.manifest.objectives
    header = [
        "configuration",
        "seeds",
        f"{first.key} ({first.over_seeds} ± std)",
        "best (mean)",
        *(f"{objective.key} ({objective.over_seeds})" for objective in others),
        *(["Pareto front"] if others else []),
        "env steps",
        "status",
    ]
    return [header, *[_line(configuration) for configuration in ranked]]


def _line(configuration: ConfigurationResult) -> list[str]:
    statuses = sorted({trial.status for trial in configuration.trials})
    others = configuration.values[1:]
    return [
        configuration.config_id,
        ", ".join(str(trial.seed) for trial in configuration.trials)
        + (" (confirmed)" if configuration.is_confirmed else ""),
        f"{_number(configuration.value)} ± {_number(configuration.last_std)}",
        _number(configuration.best_mean),
        *map(_number, others),
        *([("yes" if configuration.on_front else "")] if others else []),
        f"{configuration.env_steps:,}",
        ", ".join(statuses),
    ]


def _parts(
    run: RunHistory,
    ranked: list[ConfigurationResult],
    figures: pd.DataFrame,
    sentences: list[str],
    cut: Cut | None,
) -> list[str]:
    manifest = run.manifest
    header, *lines = table(run, ranked)
    return [
        f"# {manifest.name}",
        str(manifest.spec.get("description", "")),
        f"Every trial {cut}." if cut else "",
        *(_objective_text(objective) for objective in manifest.objectives),
        "\n".join(f"- {text}" for text in sentences),
        "Best first.",
        "\n".join(_row(cells) for cells in (header, ["---"] * len(header), *lines)),
        "Over seeds, with 95 % bootstrap intervals (a single seed has none):",
        _intervals(figures),
        "\n".join(_cautions(run, ranked, has_cut=cut is not None)),
        f"![learning curves]({FIGURE})",
    ]


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
    return "\n".join(_row(cells) for cells in (header, ["---"] * len(header), *lines))


def _interval(line: Mapping[Any, Any], name: str) -> str:
    low, high = line[f"{name}_low"], line[f"{name}_high"]
    span = f" ({_number(low)} to {_number(high)})" if math.isfinite(low) else ""
    return _number(line[name]) + span


def _origin(run: RunHistory) -> str:
    manifest = run.manifest
    versions = ", ".join(f"{name} {number}" for name, number in manifest.versions.items())
    made = f"git commit `{manifest.git_commit or 'unknown'}`, {versions}; " if versions else ""
    return f"{made}written {datetime.now(UTC).isoformat(timespec='seconds')}."


def _default(run: RunHistory) -> str:
    """The configuration that has the spec's own values; empty where none ran."""
    searched = run.manifest.spec.get("search", {}).get("parameters", {})
    if not searched:
        return ""
    sweep = Sweep.parse(run.manifest.spec)
    for trial in run.trials:
        values = trial.record.values
        if all(_is_default(sweep, path, value) for path, value in values.items()):
            return trial.record.config_id
    return ""


def _is_default(sweep: Sweep, path: str, value: Any) -> bool:
    try:
        return bool(value_at(sweep, path) == value)
    except KeyError:
        return False


def _objective_text(objective: Objective) -> str:
    text = (
        f"Objective: {objective.goal} `{objective.key}`, the {objective.over_seeds} over seeds of each "
        "seed's last valid value."
    )
    if objective.threshold is None:
        return text
    return f"{text} A trial that never reached {objective.threshold:g} counts twice what it took."


def _cautions(run: RunHistory, ranked: list[ConfigurationResult], *, has_cut: bool) -> list[str]:
    """What a reader must know before believing the order."""
    cautions = []
    if any(len(configuration.trials) == 1 for configuration in ranked):
        cautions.append(
            "- One seed says little: the spread between seeds of one configuration is often larger than "
            "the distance between configurations. Add `seeds: 3` or more."
        )
    unfinished = [configuration.config_id for configuration in ranked if not configuration.is_complete]
    if unfinished and not has_cut:
        cautions.append(
            f"- Not every trial ran to its stop: {', '.join(unfinished)}. Their last values stand at "
            "fewer env steps than the others'."
        )
    missing = [found.config_id for found in ranked if not found.valid_seeds]
    if missing:
        cautions.append(f"- No valid value yet: {', '.join(missing)}.")
    partial = [
        f"{found.config_id} ({found.seeds_text})"
        for found in ranked
        if 0 < found.valid_seeds < len(found.trials)
    ]
    if partial:
        cautions.append(
            f"- Some seeds have no valid value, which ranks a configuration back: {', '.join(partial)}."
        )
    if run.manifest.spec.get("scheduler", {}).get("type") in ("pbt", "pb2"):
        cautions.append(
            "- A member of a population is called by the values that it began with; the values that it took "
            f"over stand in its {RunLayout.LINEAGE_JSON}."
        )
    if any(found.is_confirmed for found in ranked):
        cautions.append(
            "- Confirmed configurations are judged by seeds that the search has not seen; the others by the "
            "seeds that they were chosen with, which flatter them."
        )
    skipped = sum((trial.skipped for trial in run.trials), Skipped())
    if str(skipped):
        cautions.append(f"- Lines of the histories that are left out: {skipped}.")
    return cautions


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"
