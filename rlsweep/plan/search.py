"""`search:` -> configurations: a grid, or Optuna's samplers behind one class, told of results or not."""

from __future__ import annotations

import itertools
import json
import logging
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
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

from rlsweep.plan.space import Coordinate, Space, Values, coordinate_distribution, decode
from rlsweep.spec import Sweep

Outcome = Literal["complete", "pruned", "failed"]
"""How a configuration ended: by its own stop, by the scheduler, or without a usable value."""

STARTUP_SHARE = 4
MAX_STARTUP_CONFIGURATIONS = 10
"""Configurations drawn at random before a model chooses: a quarter of the trials, at most Optuna's
default."""

MIN_POPULATION = 4
MAX_POPULATION = 50
"""NSGA-II: a quarter of the trials is one generation, at most Optuna's default."""

_WITHOUT_CONDITIONS = ("cmaes", "gp")
"""Samplers for spaces of one shape: they are given every coordinate, also where a condition hides it."""

_REPEATS_OF_A_MODEL = 3
"""A model that proposes what is known already so often is left for a random draw."""

_DRAWS_PER_CONFIGURATION = 100
"""A space with fewer distinct configurations than `trials` gives up after so many draws for the next one."""

_STATES: dict[Outcome, TrialState] = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}


class Search:
    """Proposes the configurations of one sweep, one after the other, and learns from what it is told.

    The same sweep told the same values in the same order proposes the same configurations; more `trials`
    add to them. Not for grids, which `configurations` lists.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._space = Space(sweep)
        self._method = sweep.search.method
        self._distributions = {path: self._space.optuna_distribution(path) for path in self._space.leaders}
        self._study = _create_study(_sampler(sweep), [objective.goal for objective in sweep.objective])
        self._trials: dict[str, optuna.Trial] = {}
        self._points = deque(_first_points(sweep, self._space))
        self._random = {path: value_sampler(sweep, path) for path in self._space.leaders}

    def ask(self) -> Values | None:
        """The next configuration, one that was not proposed before; None where the space has no more."""
        for attempt in range(_DRAWS_PER_CONFIGURATION):
            if attempt >= _REPEATS_OF_A_MODEL:  # it has converged: look elsewhere
                self._points.append(self._draw_at_random())
            trial = self._ask_optuna(self._points.popleft() if self._points else {})
            values = self._values(trial)
            if (key := _key(values)) not in self._trials:
                self._trials[key] = trial
                return values
            self._repeat(trial, self._trials[key])
        return None

    def tell(
        self, values: Values, outcome: Outcome, results: Sequence[float] = (), env_steps: int = 0
    ) -> None:
        """Report how a proposed configuration ended.

        Args:
            values: as proposed.
            outcome: a pruned one counts with what it reached; one that failed is only known to be no good.
            results: the objectives' values over its seeds, one per objective; none where it failed.
            env_steps: at which a pruned one was stopped.
        """
        trial = self._trials[_key(values)]
        if outcome == "pruned" and len(self._study.directions) == 1 and results:
            trial.report(results[0], env_steps)
            self._study.tell(trial, state=TrialState.PRUNED)
        elif outcome == "complete" and results:
            self._study.tell(trial, list(results))
        else:  # Optuna prunes for a single objective only
            self._study.tell(trial, state=TrialState.FAIL)

    def replay(self, values: Values) -> bool:
        """Take a configuration of an earlier run of the sweep as proposed; `tell` says how it ended.

        Returns:
            Whether it lies in the space, which may be another one now.
        """
        if not self._space.holds(values):
            return False
        trial = self._ask_optuna(values)
        self._trials[_key(self._values(trial))] = trial
        return True

    def _ask_optuna(self, point: Values) -> optuna.Trial:
        """A trial whose coordinates are those of a point, where it has them."""
        if point:
            self._study.enqueue_trial(dict(self._space.coordinates(point)))
        return self._study.ask(self._distributions if self._method in _WITHOUT_CONDITIONS else None)

    def _draw_at_random(self) -> Values:
        return {path: draw() for path, draw in self._random.items()}

    def _values(self, trial: optuna.Trial) -> Values:
        return self._space.configuration(lambda path: _suggest(trial, path, self._distributions[path]))

    def _repeat(self, trial: optuna.Trial, before: optuna.Trial) -> None:
        """A configuration drawn again is told what is known of it."""
        known = self._study.trials[before.number]
        if known.state == TrialState.COMPLETE:
            self._study.tell(trial, known.values)
        else:
            self._study.tell(trial, state=TrialState.FAIL)


def count_configurations(sweep: Sweep) -> int:
    """How many configurations a search tries, at most; none is drawn."""
    if not sweep.search.parameters:
        return 1
    return len(configurations(sweep)) if sweep.search.method == "grid" else sweep.search.trials or 1


def configurations(sweep: Sweep) -> list[Values]:
    """All configurations of a search that does not learn: the grid as written, or distinct draws.

    One empty configuration where nothing is swept. A larger `trials` adds to the same configurations.
    """
    if not sweep.search.parameters:
        return [{}]
    if sweep.search.method == "grid":
        return list(Space(sweep).grid())
    distinct: dict[str, Values] = {}
    wanted = sweep.search.trials or 1
    for values in itertools.islice(_draws(sweep), wanted * _DRAWS_PER_CONFIGURATION):
        distinct.setdefault(_key(values), values)
        if len(distinct) == wanted:
            break
    return list(distinct.values())


def _draws(sweep: Sweep) -> Iterator[Values]:
    """What Optuna's sampler draws when nothing is told to it: ten thousand draws in a second or two, where a
    study, which looks through its trials for each, takes minutes."""
    space, sampler = Space(sweep), _sampler(sweep)
    distributions = {path: space.optuna_distribution(path) for path in space.leaders}
    study, trial = _create_study(sampler), create_trial(state=TrialState.RUNNING)
    points = [space.coordinates(point) for point in _first_points(sweep, space)]
    for point in itertools.chain(points, itertools.repeat({})):
        drawn = point if point else sampler.sample_relative(study, trial, distributions)

        def choose(path: str, drawn: Mapping[str, Any] = drawn) -> Coordinate:
            if path in drawn:
                return drawn[path]  # type: ignore[no-any-return]
            return sampler.sample_independent(study, trial, path, distributions[path])  # type: ignore[no-any-return]

        yield space.configuration(choose)


def value_sampler(sweep: Sweep, path: str) -> Callable[[], Any]:
    """Draws values of one parameter at random, for schedulers that draw anew themselves."""
    range_ = sweep.search.parameters[path]
    distribution = coordinate_distribution(range_)
    sampler = RandomSampler(seed=sweep.search.seed)
    study, trial = _create_study(sampler), create_trial(state=TrialState.RUNNING)
    return lambda: decode(range_, sampler.sample_independent(study, trial, path, distribution))


def _first_points(sweep: Sweep, space: Space) -> list[Values]:
    """The spec's own values, then its `points`."""
    defaults = space.default_values() if sweep.search.try_defaults else None
    return [*([defaults] if defaults else []), *sweep.search.points]


def _key(values: Values) -> str:
    return json.dumps(values, sort_keys=True)


def _suggest(trial: optuna.Trial, path: str, distribution: BaseDistribution) -> Coordinate:
    match distribution:
        case FloatDistribution():
            return trial.suggest_float(path, distribution.low, distribution.high, log=distribution.log)
        case IntDistribution():
            bounds = (distribution.low, distribution.high)
            return trial.suggest_int(path, *bounds, step=distribution.step, log=distribution.log)
        case CategoricalDistribution():
            return trial.suggest_categorical(path, distribution.choices)  # type: ignore[return-value]
    raise TypeError(distribution)


def _create_study(
    sampler: BaseSampler, directions: Sequence[Literal["maximize", "minimize"]] = ("maximize",)
) -> optuna.Study:
    optuna.logging.set_verbosity(logging.ERROR)  # it announces every study
    return optuna.create_study(directions=list(directions), sampler=sampler)


def _sampler(sweep: Sweep) -> BaseSampler:
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
