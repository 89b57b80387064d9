"""Optuna's samplers, one for each search method that is no grid."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import TrialState, create_trial

from rlsweep.plan.coordinates import Coordinate, coordinate_distribution, decode
from rlsweep.spec import Sweep

STARTUP_SHARE = 4
MAX_STARTUP_CONFIGURATIONS = 10
"""Configurations drawn at random before a model chooses: a quarter of the trials, at most Optuna's
default."""

MIN_POPULATION = 4
MAX_POPULATION = 50
"""NSGA-II: a quarter of the trials is one generation, at most Optuna's default."""


def create_study(
    sampler: BaseSampler, directions: Sequence[Literal["maximize", "minimize"]] = ("maximize",)
) -> optuna.Study:
    """An empty study in memory."""
    optuna.logging.set_verbosity(logging.ERROR)  # it announces every study
    return optuna.create_study(directions=list(directions), sampler=sampler)


def make_sampler(sweep: Sweep) -> BaseSampler:
    """The sampler of a sweep's method, seeded."""
    search, trials = sweep.search, sweep.search.trials or 1
    startup = max(1, min(MAX_STARTUP_CONFIGURATIONS, trials // STARTUP_SHARE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match search.method:
            case "tpe":
                return TPESampler(seed=search.seed, n_startup_trials=startup)
            case "gp":
                return GPSampler(seed=search.seed, n_startup_trials=startup, warn_independent_sampling=False)
            case "cmaes":  # it moves numbers only; choices are left to TPE
                return CmaEsSampler(
                    seed=search.seed,
                    n_startup_trials=startup,
                    independent_sampler=TPESampler(seed=search.seed, n_startup_trials=startup),
                    warn_independent_sampling=False,
                )
            case "nsga2":
                population = max(MIN_POPULATION, min(MAX_POPULATION, trials // STARTUP_SHARE))
                return NSGAIISampler(seed=search.seed, population_size=population)
            case "sobol":
                return QMCSampler(
                    qmc_type="sobol", scramble=True, seed=search.seed, warn_independent_sampling=False
                )
            case _:
                return RandomSampler(seed=search.seed)


def suggest(trial: optuna.Trial, path: str, distribution: BaseDistribution) -> Coordinate:
    """Ask a trial for a coordinate of a given distribution."""
    match distribution:
        case FloatDistribution():
            return trial.suggest_float(path, distribution.low, distribution.high, log=distribution.log)
        case IntDistribution():
            bounds = (distribution.low, distribution.high)
            return trial.suggest_int(path, *bounds, step=distribution.step, log=distribution.log)
        case CategoricalDistribution():
            return trial.suggest_categorical(path, distribution.choices)  # type: ignore[return-value]
    raise TypeError(distribution)


def value_sampler(sweep: Sweep) -> Callable[[str], Any]:
    """Draws the value of a parameter at random, for what draws beside the search."""
    parameters = sweep.search.parameters
    sampler = RandomSampler(seed=sweep.search.seed)
    study, trial = create_study(sampler), create_trial(state=TrialState.RUNNING)

    def draw(path: str) -> Any:
        distribution = coordinate_distribution(parameters[path])
        return decode(parameters[path], sampler.sample_independent(study, trial, path, distribution))

    return draw
