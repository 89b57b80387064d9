"""`report/`: the run in one page of markdown and one figure."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

from analysis.comparison import ConfigurationResult, compare
from analysis.figures import MAX_CURVES, draw_learning_curves, learning_curves
from analysis.history import RunHistory, read_run
from analysis.throughput import write_throughput
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import Objective

REPORT = "report.md"
FIGURE = "learning_curves.png"


def write_report(layout: RunLayout) -> Path:
    """Write `report/report.md` and its figure anew.

    Returns:
        The path of the markdown file.

    Raises:
        RunError: the run cannot be read.
    """
    run = read_run(layout)
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
    target = layout.report / REPORT
    target.write_text(_markdown(run, ranked, len(curves), throughput), "utf-8")
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


def _markdown(
    run: RunHistory, ranked: list[ConfigurationResult], num_curves: int, throughput: Path | None
) -> str:
    manifest = run.manifest
    header, *lines = table(run, ranked)
    parts = [
        f"# {manifest.name}",
        str(manifest.spec.get("description", "")),
        *(_objective_text(objective) for objective in manifest.objectives),
        "Best first.",
        "\n".join(_row(cells) for cells in (header, ["---"] * len(header), *lines)),
        "\n".join(_cautions(run, ranked)),
        f"![learning curves]({FIGURE})",
    ]
    if num_curves > MAX_CURVES:
        parts.append(f"The figure shows the best {MAX_CURVES} of {num_curves} configurations.")
    if throughput is not None:
        parts.append(f"Where the time went: [{throughput.name}]({throughput.name}).")
    parts.append(
        f"git commit `{manifest.git_commit or 'unknown'}`, "
        + ", ".join(f"{name} {number}" for name, number in manifest.versions.items())
        + f"; written {datetime.now(UTC).isoformat(timespec='seconds')}."
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _objective_text(objective: Objective) -> str:
    text = (
        f"Objective: {objective.goal} `{objective.key}`, the {objective.over_seeds} over seeds of each "
        "seed's last valid value."
    )
    if objective.threshold is None:
        return text
    return f"{text} A trial that never reached {objective.threshold:g} counts twice what it took."


def _cautions(run: RunHistory, ranked: list[ConfigurationResult]) -> list[str]:
    """What a reader must know before believing the order."""
    cautions = []
    if any(len(configuration.trials) == 1 for configuration in ranked):
        cautions.append(
            "- One seed says little: the spread between seeds of one configuration is often larger than "
            "the distance between configurations. Add `seeds: 3` or more."
        )
    unfinished = [configuration.config_id for configuration in ranked if not configuration.is_complete]
    if unfinished:
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
    skipped = sum(trial.skipped_lines for trial in run.trials)
    if skipped:
        cautions.append(f"- {skipped} lines of result.json were no whole rows and are left out.")
    return cautions


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"
