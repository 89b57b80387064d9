"""What a report says of a run in words and tables, computed once; pages arrange it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from analysis.cautions import cautions
from analysis.comparison import ConfigurationResult, compare
from analysis.curves import MAX_CURVES, LearningCurve, learning_curves
from analysis.cuts import Cut, cut_off
from analysis.history import RunHistory, read_summary
from analysis.merge import merged
from analysis.summary import summary
from analysis.trial_results import TrialResult
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
        curves: learning curves of the best MAX_CURVES, in the same order.
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
        made = f"git commit `{manifest.git_commit or 'unknown'}`, {versions}; " if manifest.created else ""
        return f"{made}written {datetime.now(UTC).isoformat(timespec='seconds')}."

    @property
    def table(self) -> list[list[str]]:
        """Header and one line per configuration."""
        return table(self.run, self.ranked)

    @property
    def by_game(self) -> list[list[str]]:
        """Header and one line per configuration: of each game the mean of the first objective and of the
        score over its seeds; empty where all play the same one."""
        games = sorted({game for one in self.ranked for game in one.games})
        if not self.run.tasks:
            return []
        lines = [
            [one.config_id, *(_in_game([t for t in one.trials if t.game == game]) for game in games)]
            for one in self.ranked
        ]
        return [["configuration", *games], *lines]

    @property
    def intervals(self) -> list[list[str]]:
        """Header and one line per configuration: aggregates over seeds with their 95 % intervals."""
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
    return Findings(
        run,
        cut,
        ranked,
        summary(run, ranked),
        learning_curves(run, [one.config_id for one in ranked[:MAX_CURVES]]),
        verdicts(ranked, _default(run), run.objective),
        cautions(run, ranked, cut),
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
        ", ".join(map(str, dict.fromkeys(trial.seed for trial in configuration.trials)))
        + (" (confirmed)" if configuration.is_confirmed else ""),
        f"{_number(configuration.value)} ± {_number(configuration.last_std, like=configuration.value)}",
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
        if all(_is_default(sweep, path, values[path]) for path in run.swept if path in values):
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


def _in_game(trials: list[TrialResult]) -> str:
    """`0.31 (score 12.40)` of one configuration's trials in one game."""
    known = [trial for trial in trials if math.isfinite(trial.last)]
    if not known:
        return "–"
    score = np.mean([trial.score for trial in known])
    return f"{_number(float(np.mean([trial.last for trial in known])))} (score {_number(float(score))})"


def _interval(line: Mapping[Any, Any], name: str) -> str:
    low, high = line[f"{name}_low"], line[f"{name}_high"]
    value = line[name]
    span = f" ({_number(low, like=value)} to {_number(high, like=value)})" if math.isfinite(low) else ""
    return _number(value) + span


def _number(value: float, like: float | None = None) -> str:
    """Two digits behind the point, four of numbers below 1, as many as another number has beside it."""
    if not math.isfinite(value):
        return "–"
    size = abs(value if like is None else like)
    return f"{value:.2f}" if size >= 1 or size == 0 else f"{value:.4f}"
