"""A run's configurations in figures: `summary.csv` for tables, `summary.json` for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import to_json

from analysis.comparison import ConfigurationResult
from analysis.history import RunHistory
from analysis.statistics import interquartile_mean, interval, mean_interval, median

SUMMARY_CSV = "summary.csv"
SUMMARY_JSON = "summary.json"

_COLUMNS = {
    *("configuration", "seeds", "seeds_with_value", "std", "best_mean", "auc", "games", "env_steps"),
    *("seconds", "status"),
    *(f"{name}{end}" for name in ("mean", "median", "iqm") for end in ("", "_low", "_high")),
}


def summary(run: RunHistory, ranked: Sequence[ConfigurationResult]) -> pd.DataFrame:
    """One line per configuration, the best first, over the seeds that have a value.

    Columns: `configuration`, `seeds`, `seeds_with_value`, the swept values; of each seed's last value of the
    first objective `mean` with the bounds of Student's 95 % interval (`mean_low` …; NaN for one seed), `std`
    (n - 1), `median` and `iqm` with those of the 95 % bootstrap interval; `best_mean` of each seed's best
    value; `auc`; `games` behind all of it; `env_steps` of the shortest trial, mean `seconds`; each further
    objective; `status`. A swept value or an objective that is called as one of these has its kind behind its
    name (`seconds (objective)`).
    """
    values = {trial.record.config_id: trial.record.values for trial in run.trials}
    return pd.DataFrame([_line(run, one, values[one.config_id]) for one in ranked])


def write_summary(run: RunHistory, table: pd.DataFrame, sentences: Sequence[str], folder: Path) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / SUMMARY_CSV, index=False)
    content = {
        "run": run.manifest.name,
        "objectives": [
            {"key": one.key, "goal": one.goal, "over_seeds": one.over_seeds}
            for one in run.manifest.objectives
        ],
        "verdicts": list(sentences),
        "configurations": table.to_dict(orient="records"),
    }
    # JSON has no NaN: null stands for it
    (folder / SUMMARY_JSON).write_bytes(to_json(content, indent=1, inf_nan_mode="null") + b"\n")


def _line(run: RunHistory, one: ConfigurationResult, values: Mapping[str, Any]) -> dict[str, Any]:
    counting = [trial for trial in one.trials if math.isfinite(trial.last)]
    scores = one.scores
    line: dict[str, Any] = {
        "configuration": one.config_id,
        "seeds": len(one.trials),
        "seeds_with_value": one.valid_seeds,
        **{parameter_column(path): value for path, value in values.items() if path not in run.tasks},
    }
    intervals = {
        "mean": mean_interval(scores),
        "median": interval(scores, median),
        "iqm": interval(scores, interquartile_mean),
    }
    for name, found in intervals.items():
        line |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    others = run.manifest.objectives[1:]
    return line | {
        "std": one.last_std,
        "best_mean": one.best_mean,
        "auc": _mean([trial.auc for trial in counting]),
        "games": sum(trial.games for trial in counting),
        "env_steps": one.env_steps,
        "seconds": _mean([trial.seconds for trial in counting]),
        **{objective_column(other.key): value for other, value in zip(others, one.values[1:], strict=True)},
        "status": ", ".join(sorted({trial.status for trial in one.trials})),
    }


def parameter_column(path: str) -> str:
    """The column of a swept parameter."""
    return f"{path} (parameter)" if path in _COLUMNS else path


def objective_column(key: str) -> str:
    """The column of an objective that is not the first."""
    return f"{key} (objective)" if key in _COLUMNS else key


def _mean(values: Sequence[float]) -> float:
    found = [value for value in values if math.isfinite(value)]
    return float(np.mean(found)) if found else math.nan
