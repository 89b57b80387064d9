"""Which swept parameters the result depends on, beside what the seed alone does."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

MIN_CONFIGURATIONS = 4
"""With fewer a forest has nothing to divide."""


@dataclass(frozen=True)
class Importance:
    """Shares of the variance of the results.

    Attributes:
        parameters: path -> share, together 1, by fANOVA (Hutter et al. 2014, "An Efficient Approach for
            Assessing Hyperparameter Importance") of Optuna.
        seed_noise: share of the variance of all results that lies between seeds of one configuration; NaN
            where every configuration has one seed. What parameters explain is a part of the rest.
    """

    parameters: dict[str, float]
    seed_noise: float


def importance(values: Sequence[Mapping[str, Any]], results: Sequence[float]) -> Importance | None:
    """Judge the parameters that all trials have.

    Args:
        values: of each trial.
        results: of each trial; one that is no number is left out.

    Returns:
        None where too few configurations have a result, or nothing varies.
    """
    known = [(one, result) for one, result in zip(values, results, strict=True) if math.isfinite(result)]
    paths = [path for path in known[0][0] if all(path in one for one, _ in known)] if known else []
    paths = [path for path in paths if len({str(one[path]) for one, _ in known}) > 1]
    configurations = {tuple(str(one[path]) for path in paths) for one, _ in known}
    found = [result for _, result in known]
    if not paths or len(configurations) < MIN_CONFIGURATIONS or np.ptp(found) == 0:
        return None
    distributions = {path: _distribution([one[path] for one, _ in known]) for path in paths}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = _study(known, distributions)
        shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return Importance(
        dict(shares), seed_noise([{path: one[path] for path in paths} for one, _ in known], found)
    )


def seed_noise(values: Sequence[Mapping[str, Any]], results: Sequence[float]) -> float:
    """Share of the variance of the results that lies within configurations: 1 - eta squared."""
    groups: dict[str, list[float]] = {}
    for one, result in zip(values, results, strict=True):
        groups.setdefault(str(sorted(one.items(), key=str)), []).append(result)
    total = float(((np.array(results) - np.mean(results)) ** 2).sum())
    if total == 0 or all(len(group) == 1 for group in groups.values()):
        return math.nan
    within = sum(float(((np.array(group) - np.mean(group)) ** 2).sum()) for group in groups.values())
    return within / total


def _study(
    known: Sequence[tuple[Mapping[str, Any], float]], distributions: Mapping[str, BaseDistribution]
) -> optuna.Study:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    optuna.logging.set_verbosity(verbosity)
    for one, result in known:
        params = {path: _plain(one[path], distributions[path]) for path in distributions}
        study.add_trial(
            optuna.create_trial(params=params, distributions=dict(distributions), value=float(result))
        )
    return study


def _distribution(values: Sequence[Any]) -> BaseDistribution:
    is_number = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    if not (is_number and all(map(math.isfinite, values))):
        return CategoricalDistribution(sorted({str(value) for value in values}))
    low, high = float(min(values)), float(max(values))
    return FloatDistribution(low, high, log=low > 0 and high / low > 10)


def _plain(value: Any, distribution: BaseDistribution) -> Any:
    return str(value) if isinstance(distribution, CategoricalDistribution) else float(value)
