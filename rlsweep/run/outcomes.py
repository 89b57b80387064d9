"""How a configuration ended, from its seeds: what a search is told of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from analysis.judgement import over_seeds, trial_values
from rlsweep.plan.search import Outcome
from rlsweep.store.manifest import DIVERGED, STOPPED, Objective
from rlsweep.store.rows import ENV_STEPS


@dataclass(frozen=True)
class SeedResult:
    """How the trial of one seed ended.

    Attributes:
        status: as in the manifest.
        row: its last one; empty where it has none.
    """

    status: str
    row: dict[str, Any]


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
