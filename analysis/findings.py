"""Everything that a report says of a run, computed once; pages only arrange it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from pydantic import ValidationError

from analysis.comparison import ConfigurationResult, compare
from analysis.curves import LearningCurve, learning_curves
from analysis.cuts import Cut, cut_off
from analysis.history import RunHistory, read_summary
from analysis.merge import merged
from analysis.reading import Skipped
from analysis.summary import summary
from analysis.verdicts import verdicts
from rlsweep.spec import Sweep
from rlsweep.spec.values import value_at
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import Objective


@dataclass(frozen=True)
class Findings:
    """What came out of a run.

    Attributes:
        run: its trials, up to the cut.
        cut: where they were cut off; None for their ends.
        ranked: configurations, the best first.
        summary: the same in figures, a line each.
        curves: learning curves in the same order.
        verdicts: plain sentences on who is better.
        cautions: what a reader must know before believing the order.
    """

    run: RunHistory
    cut: Cut | None
    ranked: list[ConfigurationResult]
    summary: pd.DataFrame
    curves: list[LearningCurve]
    verdicts: list[str]
    cautions: list[str]

    @property
    def objectives(self) -> list[str]:
        """How the order was made, in words."""
        at = [f"Every trial {self.cut}."] if self.cut else []
        return [*at, *(_objective_text(objective) for objective in self.run.manifest.objectives)]

    @property
    def origin(self) -> str:
        """Commit and versions that made it, and when this was written."""
        manifest = self.run.manifest
        versions = ", ".join(f"{name} {number}" for name, number in manifest.versions.items())
        made = f"git commit `{manifest.git_commit or 'unknown'}`, {versions}; " if versions else ""
        return f"{made}written {datetime.now(UTC).isoformat(timespec='seconds')}."

    @property
    def table(self) -> list[list[str]]:
        """Header and one line per configuration."""
        return table(self.run, self.ranked)

    @property
    def intervals(self) -> list[list[str]]:
        """Header and one line per configuration: aggregates over seeds with their bootstrap intervals."""
        header = ["configuration", "mean", "median", "interquartile mean", "area under the curve", "games"]
        lines = [
            [
                str(line["configuration"]),
                *(_interval(line, name) for name in ("mean", "median", "iqm")),
                _number(line["auc"]),
                f"{line['games']:,}",
            ]
            for line in self.summary.to_dict(orient="records")
        ]
        return [header, *lines]


def find(layout: RunLayout, cut: Cut | None = None) -> Findings:
    """Read a run and judge it.

    Args:
        layout: of a run of ours, or of any experiment of Ray Tune.
        cut: compare the trials as they stood there, and not at their ends.

    Raises:
        RunError: the run cannot be read.
    """
    run = read_summary(layout)
    return judge(cut_off(run, cut) if cut else run, cut)


def find_together(layouts: Sequence[RunLayout], cut: Cut | None = None) -> Findings:
    """Read several runs and judge their configurations against each other.

    Raises:
        RunError: a run cannot be read.
        UsageError: they cannot be compared.
    """
    run = merged([read_summary(layout) for layout in layouts])
    return judge(cut_off(run, cut) if cut else run, cut)


def judge(run: RunHistory, cut: Cut | None = None) -> Findings:
    """Judge a run that was read, up to the cut that it was cut off at."""
    ranked = compare(run)
    order = {configuration.config_id: place for place, configuration in enumerate(ranked)}
    return Findings(
        run,
        cut,
        ranked,
        summary(run, ranked),
        sorted(learning_curves(run), key=lambda curve: order[curve.config_id]),
        verdicts(ranked, _default(run), maximize=run.objective.maximize),
        _cautions(run, ranked, has_cut=cut is not None),
    )


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


def _default(run: RunHistory) -> str:
    """The configuration that has the spec's own values; empty where none ran."""
    searched = run.manifest.spec.get("search", {}).get("parameters", {})
    if not searched:
        return ""
    try:
        sweep = Sweep.parse(run.manifest.spec)
    except ValidationError:  # of a version that had other keys
        return ""
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
            "One seed says little: the spread between seeds of one configuration is often larger than "
            "the distance between configurations. Add `seeds: 3` or more."
        )
    unfinished = [configuration.config_id for configuration in ranked if not configuration.is_complete]
    if unfinished and not has_cut:
        cautions.append(
            f"Not every trial ran to its stop: {', '.join(unfinished)}. Their last values stand at "
            "fewer env steps than the others'."
        )
    missing = [found.config_id for found in ranked if not found.valid_seeds]
    if missing:
        cautions.append(f"No valid value yet: {', '.join(missing)}.")
    partial = [
        f"{found.config_id} ({found.seeds_text})"
        for found in ranked
        if 0 < found.valid_seeds < len(found.trials)
    ]
    if partial:
        cautions.append(
            f"Some seeds have no valid value, which ranks a configuration back: {', '.join(partial)}."
        )
    if run.manifest.spec.get("scheduler", {}).get("type") in ("pbt", "pb2"):
        cautions.append(
            "A member of a population is called by the values that it began with; the values that it took "
            f"over stand in its {RunLayout.LINEAGE_JSON}."
        )
    if any(found.is_confirmed for found in ranked):
        cautions.append(
            "Confirmed configurations are judged by seeds that the search has not seen; the others by the "
            "seeds that they were chosen with, which flatter them."
        )
    skipped = sum((trial.skipped for trial in run.trials), Skipped())
    if str(skipped):
        cautions.append(f"Lines of the histories that are left out: {skipped}.")
    return cautions


def _interval(line: Mapping[Any, Any], name: str) -> str:
    low, high = line[f"{name}_low"], line[f"{name}_high"]
    span = f" ({_number(low)} to {_number(high)})" if math.isfinite(low) else ""
    return _number(line[name]) + span


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"
