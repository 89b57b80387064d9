"""`search:` -> configurations: a grid, or Optuna's samplers behind one class, told of results or not."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.trial import TrialState, create_trial

from rlsweep.plan.coordinates import Coordinate
from rlsweep.plan.samplers import create_study, make_sampler, suggest, value_sampler
from rlsweep.plan.space import Space, Values
from rlsweep.spec import Sweep

Outcome = Literal["complete", "pruned", "failed"]
"""How a configuration ended: by its own stop, by the scheduler, or without a usable value."""

_WITHOUT_CONDITIONS = ("cmaes", "gp")
"""Samplers for spaces of one shape: they are given every coordinate, also where a condition hides it."""

_REPEATS_OF_A_MODEL = 3
"""A model that proposes what is known already so often is left for a random draw."""

_DRAWS_PER_CONFIGURATION = 100
"""A space with fewer distinct configurations than `trials` gives up after so many draws for the next one."""


class Search:
    """Proposes the configurations of one sweep, one after the other, and learns from what it is told.

    The same sweep told the same values in the same order proposes the same configurations; more `trials`
    add to them. Not for grids, which `configurations` lists.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._space = Space(sweep)
        self._method = sweep.search.method
        self._distributions = {path: self._space.optuna_distribution(path) for path in self._space.leaders}
        self._study = create_study(make_sampler(sweep), [objective.goal for objective in sweep.objective])
        self._trials: dict[str, optuna.Trial] = {}
        self._points = deque(_first_points(sweep, self._space))
        self._draw = value_sampler(sweep)

    def ask(self) -> Values | None:
        """The next configuration, one that was not proposed before; None where the space has no more."""
        for attempt in range(_DRAWS_PER_CONFIGURATION):
            if attempt >= _REPEATS_OF_A_MODEL:  # it has converged: look elsewhere
                self._points.append(self._draw_at_random())
            point = self._points.popleft() if self._points else {}
            trial = self._ask_optuna(point)
            values = self._space.completed(self._values(trial), point)
            if (key := _key(values)) not in self._trials:
                self._trials[key] = trial
                return values
            self._repeat(trial, self._trials[key])
        return self._unseen_of_grid()

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
        self._values(trial)  # Optuna learns of its coordinates as they are asked for
        self._trials[_key(values)] = trial
        return True

    def _ask_optuna(self, point: Values) -> optuna.Trial:
        """A trial whose coordinates are those of a point, where it has them."""
        if point:
            self._study.enqueue_trial(dict(self._space.coordinates(point)))
        return self._study.ask(self._distributions if self._method in _WITHOUT_CONDITIONS else None)

    def _draw_at_random(self) -> Values:
        return {path: self._draw(path) for path in self._space.leaders}

    def _unseen_of_grid(self) -> Values | None:
        """What is left of a space that can be listed, when it is hard to hit by chance."""
        left = self._space.grid() if self._space.is_finite else iter(())
        values = next((values for values in left if _key(values) not in self._trials), None)
        if values is not None:
            self.replay(values)
        return values

    def _values(self, trial: optuna.Trial) -> Values:
        return self._space.configuration(lambda path: suggest(trial, path, self._distributions[path]))

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
    wanted = sweep.search.trials or 1
    distinct: dict[str, Values] = {}
    misses = 0
    for values in _draws(sweep):
        misses = misses + 1 if _key(values) in distinct else 0
        distinct.setdefault(_key(values), values)
        if len(distinct) == wanted or misses == _DRAWS_PER_CONFIGURATION:
            break
    space = Space(sweep)
    for values in space.grid() if len(distinct) < wanted and space.is_finite else ():
        distinct.setdefault(_key(values), values)
    return list(distinct.values())[:wanted]


def _draws(sweep: Sweep) -> Iterator[Values]:
    """What Optuna's sampler draws when nothing is told to it: ten thousand draws in a second or two, where a
    study, which looks through its trials for each, takes minutes."""
    space, sampler = Space(sweep), make_sampler(sweep)
    distributions = {path: space.optuna_distribution(path) for path in space.leaders}
    study, trial = create_study(sampler), create_trial(state=TrialState.RUNNING)
    for point in itertools.chain(_first_points(sweep, space), itertools.repeat({})):
        drawn = space.coordinates(point) if point else sampler.sample_relative(study, trial, distributions)

        def choose(path: str, drawn: Mapping[str, Any] = drawn) -> Coordinate:
            if path in drawn:
                return drawn[path]  # type: ignore[no-any-return]
            return sampler.sample_independent(study, trial, path, distributions[path])  # type: ignore[no-any-return]

        yield space.completed(space.configuration(choose), point)


def _first_points(sweep: Sweep, space: Space) -> list[Values]:
    """The spec's own values, then its `points`."""
    defaults = space.default_values() if sweep.search.try_defaults else None
    return [*([defaults] if defaults else []), *sweep.search.points]


def _key(values: Values) -> str:
    return json.dumps(values, sort_keys=True)
