"""A search that learns, as Tune's Searcher: one configuration is several trials, one for each seed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ray.tune.search import Searcher

from rlsweep.errors import PreflightError, SpecError
from rlsweep.plan import Plan, PlannedTrial
from rlsweep.plan.search import Search
from rlsweep.plan.space import Values
from rlsweep.run.nodes import Capacity
from rlsweep.run.outcomes import SeedResult, judge
from rlsweep.store.manifest import FAILED, Objective, result_ending

logger = logging.getLogger(__name__)


@dataclass
class _Configuration:
    """One that was proposed, and the seeds that it still waits for."""

    values: Values
    results: dict[int, SeedResult] = field(default_factory=dict)


class ConfigurationSearch(Searcher):
    """Runs every configuration that a Search proposes once per seed, and tells it when all seeds are in.

    Args:
        plan: of a search that learns.
        objectives: what a configuration is judged by.
        on_proposed: called with each trial before it starts, for its Tune configuration; a SpecError or
            PreflightError means that it cannot, and its configuration counts as failed.
        capacity: of the nodes.
        known: configurations that earlier runs of the sweep have begun, with the seeds that have ended.
    """

    def __init__(
        self,
        plan: Plan,
        objectives: list[Objective],
        on_proposed: Callable[[PlannedTrial], dict[str, Any]],
        capacity: Capacity,
        known: Iterable[tuple[Values, dict[int, SeedResult]]] = (),
    ) -> None:
        super().__init__()
        self._plan = plan
        self._objectives = objectives
        self._on_proposed = on_proposed
        self._capacity = capacity
        self._search = Search(plan.sweep)
        self._waiting: deque[tuple[_Configuration, int]] = deque()
        self._running: dict[str, tuple[_Configuration, int]] = {}
        self._num_proposed = 0
        self._num_trials = 0
        for values, results in known:
            self._take_up(values, results)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial; None while as many run as the machine holds, FINISHED where there are no more."""
        if len(self._running) >= self._capacity.wanted:
            return None
        while self._num_trials < self._plan.num_trials and (self._waiting or self._propose()):
            configuration, seed = self._waiting.popleft()
            try:
                trial = self._plan.trial(configuration.values, seed)
                tune_config = self._on_proposed(trial)
            except (SpecError, PreflightError) as error:
                logger.warning("a proposed configuration cannot run: %s", error)
                self._give_up(configuration)
                continue
            self._running[trial_id] = configuration, seed
            self._num_trials += 1
            return tune_config
        return str(Searcher.FINISHED)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note how a trial ended; the last seed of its configuration makes the search learn from it."""
        configuration, seed = self._running.pop(trial_id)
        row = result or {}
        configuration.results[seed] = SeedResult(
            FAILED if error or result is None else result_ending(row), row
        )
        self._tell_if_whole(configuration)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing is learned before a trial ends: a score on the way is no result."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the manifest and the histories hold all that a later run replays."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as `save`."""

    def _propose(self) -> bool:
        """Queue the trials of the next configuration."""
        values = self._search.ask() if self._num_proposed < self._plan.num_configurations else None
        if values is None:
            return False
        self._num_proposed += 1
        configuration = _Configuration(values)
        self._waiting.extend((configuration, seed) for seed in self._plan.sweep.seeds)
        return True

    def _give_up(self, configuration: _Configuration) -> None:
        """Forget the trials of a configuration that cannot run, and tell the search."""
        kept = [waiting for waiting in self._waiting if waiting[0] is not configuration]
        self._waiting = deque(kept)
        self._search.tell(configuration.values, "failed")

    def _take_up(self, values: Values, results: dict[int, SeedResult]) -> None:
        """A configuration of an earlier run: its missing seeds come first."""
        if not self._search.replay(values):
            return
        self._num_proposed += 1
        seeds = self._plan.sweep.seeds
        configuration = _Configuration(values, {seed: results[seed] for seed in seeds if seed in results})
        self._num_trials += len(configuration.results)
        self._waiting.extend((configuration, seed) for seed in seeds if seed not in results)
        self._tell_if_whole(configuration)

    def _tell_if_whole(self, configuration: _Configuration) -> None:
        results = configuration.results
        if len(results) == len(self._plan.sweep.seeds):
            outcome, values, env_steps = judge(list(results.values()), self._objectives)
            self._search.tell(configuration.values, outcome, values, env_steps)
