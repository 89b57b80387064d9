"""A search that learns, as Tune's Searcher: one configuration is several trials, one for each seed."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ray.tune.search import Searcher

from analysis.judgement import over_seeds, trial_values
from rlsweep.errors import PreflightError, SpecError
from rlsweep.plan import Plan, PlannedTrial
from rlsweep.plan.search import Outcome, Search
from rlsweep.plan.space import Values
from rlsweep.store.manifest import DIVERGED, FAILED, STOPPED, Objective, result_ending
from rlsweep.store.rows import ENV_STEPS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeedResult:
    """How the trial of one seed ended.

    Attributes:
        status: as in the manifest.
        row: its last one; empty where it has none.
    """

    status: str
    row: dict[str, Any]


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
        on_proposed: called with each trial before it starts; a SpecError or PreflightError means that it
            cannot, and its configuration counts as failed.
        known: configurations of earlier runs of the sweep, with the seeds that have ended.
    """

    def __init__(
        self,
        plan: Plan,
        objectives: list[Objective],
        on_proposed: Callable[[PlannedTrial], None],
        known: Iterable[tuple[Values, dict[int, SeedResult]]] = (),
    ) -> None:
        super().__init__()
        self._plan = plan
        self._objectives = objectives
        self._on_proposed = on_proposed
        self._search = Search(plan.sweep)
        self._waiting: deque[tuple[_Configuration, int]] = deque()
        self._running: dict[str, tuple[_Configuration, int]] = {}
        self._num_proposed = 0
        self._num_trials = 0
        for values, results in known:
            self._take_up(values, results)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial; None while as many run as the machine holds, FINISHED where there are no more."""
        if len(self._running) >= self._plan.max_concurrent:
            return None
        while self._num_trials < self._plan.num_trials and (self._waiting or self._propose()):
            configuration, seed = self._waiting.popleft()
            try:
                trial = self._plan.trial(configuration.values, seed)
                self._on_proposed(trial)
            except (SpecError, PreflightError) as error:
                logger.warning("a proposed configuration cannot run: %s", error)
                self._give_up(configuration)
                continue
            self._running[trial_id] = configuration, seed
            self._num_trials += 1
            return trial.tune_config
        return str(Searcher.FINISHED)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note how a trial ended; the last seed of its configuration makes the search learn from it."""
        configuration, seed = self._running.pop(trial_id)
        row = result or {}
        configuration.results[seed] = SeedResult(FAILED if error else result_ending(row), row)
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


def judge(results: list[SeedResult], objectives: list[Objective]) -> tuple[Outcome, list[float], int]:
    """What a configuration is worth whose seeds have all ended.

    Returns:
        `failed` if one seed diverged or an objective has no value; `pruned` if the scheduler stopped one;
        the objectives over the seeds (a seed whose trial crashed is left out); the env steps of the
        shortest seed.
    """
    seeds = [trial_values(result.status, result.row, objectives) for result in results]
    values = [
        over_seeds([found[index] for found in seeds], objective) for index, objective in enumerate(objectives)
    ]
    if any(result.status == DIVERGED for result in results) or not all(map(math.isfinite, values)):
        return "failed", [], 0
    env_steps = min(int(result.row[ENV_STEPS]) for result in results if result.row)
    is_pruned = any(result.status == STOPPED for result in results)
    return ("pruned" if is_pruned else "complete"), values, env_steps
