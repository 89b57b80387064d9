"""Which configuration won: one line per configuration, over its seeds.

A configuration's result is the mean (or what `over_seeds` says) over its seeds of each seed's last value, not
its best one: the best of a noisy curve is a number that luck made (Henderson et al. 2018; Agarwal et al.
2021).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.history import REACHED, RunHistory
from analysis.judgement import over_seeds, pareto_front
from analysis.trial_results import TrialResult, trial_result
from rlsweep.errors import RunError
from rlsweep.store.manifest import CONFIRM, FINISHED, Objective


@dataclass(frozen=True)
class ConfigurationResult:
    """What one configuration reached over its seeds.

    Attributes:
        config_id: readable name.
        trials: one per seed, and where it plays several games, one per seed and game.
        values: of each objective, over the seeds as its `over_seeds` says, of the last values.
        best_mean: over seeds, of the best value.
        valid_seeds: seeds that have a value; the means are over these.
        is_complete: every seed ran to its own stop, or to the point where all are compared.
        on_front: no other configuration is better in one objective and as good in the rest.
    """

    config_id: str
    trials: tuple[TrialResult, ...]
    values: tuple[float, ...]
    best_mean: float
    valid_seeds: int
    is_complete: bool
    on_front: bool = False

    @property
    def value(self) -> float:
        """Of the first objective."""
        return self.values[0]

    @property
    def last_std(self) -> float:
        """Standard deviation over seeds of the last values (of several games, of their means over games),
        the sample's (n - 1); NaN for one seed."""
        seeds = self.scores.mean(axis=1)
        return float(seeds.std(ddof=1)) if len(seeds) > 1 else math.nan

    @property
    def is_short(self) -> bool:
        """Whether one of its trials was stopped by the scheduler, or is short of the point of comparison."""
        return any(trial.is_short for trial in self.trials)

    @property
    def is_confirmed(self) -> bool:
        """Whether it was judged by seeds that the search had not seen."""
        return any(trial.phase == CONFIRM for trial in self.trials)

    @property
    def env_steps(self) -> int:
        """Env steps of the shortest trial: the comparison reaches no further."""
        return min(trial.env_steps for trial in self.trials)

    @property
    def games(self) -> list[str]:
        """That it plays; one without a name where it plays the one of the spec."""
        return sorted({trial.game for trial in self.trials})

    @property
    def scores(self) -> np.ndarray:
        """(seeds, games) last values of the first objective; (trials, 1) where some game lacks one."""
        valid = [trial for trial in self.trials if math.isfinite(trial.last)]
        columns = [[trial.last for trial in valid if trial.game == game] for game in self.games]
        if len({len(column) for column in columns}) == 1:
            return np.array(columns, dtype=float).T
        return np.array([trial.last for trial in valid], dtype=float)[:, None]

    @property
    def seeds_text(self) -> str:
        """`3 seeds`, or `1 of 3 seeds` where some have no value; of several games, their trials."""
        total = len(self.trials)
        count = f"{total}" if self.valid_seeds == total else f"{self.valid_seeds} of {total}"
        unit = "seed" if len(self.games) == 1 else f"trial of {len(self.games)} games"
        return f"{count} {unit.replace('seed', 'seeds').replace('trial', 'trials') if total != 1 else unit}"


def compare(run: RunHistory, phase: str = "") -> list[ConfigurationResult]:
    """All configurations, the best first.

    A configuration without any value comes last. One that was confirmed is judged by its confirming seeds
    alone, and ranks before those that were not. One that the scheduler stopped ranks behind, as one that is
    short of the cut: its values stand at fewer env steps. So does one with fewer seeds that have a value: the
    mean of one lucky seed is not comparable with the mean of three. With several objectives the Pareto front
    comes first.

    Args:
        run: what is compared.
        phase: judge by the trials of this phase only, `search` or `confirm`.
    """
    objectives = run.manifest.objectives
    groups: dict[str, list[TrialResult]] = defaultdict(list)
    for trial in run.judged_trials(phase):
        groups[trial.record.config_id].append(trial_result(trial, objectives))
    found = [summarize(config_id, trials, objectives) for config_id, trials in groups.items()]
    if len(objectives) > 1 and found:
        points = np.array([[math.nan] * len(objectives) if one.is_short else one.values for one in found])
        front = pareto_front(points, [objective.maximize for objective in objectives])
        found = [replace(one, on_front=bool(is_on)) for one, is_on in zip(found, front, strict=True)]
    sign = 1.0 if run.objective.maximize else -1.0
    return sorted(
        found,
        key=lambda one: (
            not one.valid_seeds,
            not one.is_confirmed,
            one.is_short,
            not one.on_front,
            -one.valid_seeds,
            -sign * one.value if one.valid_seeds else 0.0,
        ),
    )


def summarize(
    config_id: str, trials: list[TrialResult], objectives: Sequence[Objective]
) -> ConfigurationResult:
    """One configuration's trials, one per seed, as one value per objective and a spread. Seeds without a
    value are left out."""
    last = np.array([trial.last for trial in trials if math.isfinite(trial.last)])
    best = np.array([trial.best for trial in trials if math.isfinite(trial.best)])
    return ConfigurationResult(
        config_id=config_id,
        trials=tuple(sorted(trials, key=lambda trial: (trial.seed, trial.game))),
        values=tuple(
            over_seeds([trial.values[index] for trial in trials], objective)
            for index, objective in enumerate(objectives)
        ),
        best_mean=float(best.mean()) if best.size else math.nan,
        valid_seeds=int(last.size),
        is_complete=all(trial.status in (FINISHED, REACHED) for trial in trials),
    )


def winner(run: RunHistory) -> ConfigurationResult:
    """The best configuration.

    Raises:
        RunError: no trial has a valid value yet.
    """
    ranked = compare(run)
    if not ranked or not ranked[0].valid_seeds:
        key = run.objective.key
        raise RunError(f"{run.manifest.name}: no trial has a valid {key} yet (no game has ended, or too few)")
    return ranked[0]
