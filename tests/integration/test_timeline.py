"""IMPALA's env runners go on sampling while the learner updates."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.rllib.core import ALL_MODULES

from rlsweep.plan import Machine, make
from rlsweep.run.session import ray_session
from rlsweep.run.trial import trainable_for
from rlsweep.spec import load

ROOT = Path(__file__).parents[2]
ENV_RUNNERS = 4
UPDATES = 40


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """One whose workers find the callback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        patch.syspath_prepend(str(Path(__file__).parent))
        with ray_session() as found:
            yield found


def spans(result: Mapping[str, Any], name: str) -> np.ndarray:
    """(n, 2) beginnings and ends in seconds."""
    found = [np.ravel(result.get(f"{name}_{end}", [])) for end in ("begins", "ends")]
    return np.stack(found, axis=1)


def test_samples_overlap_updates(machine: Machine) -> None:
    overrides = ["callbacks=[timeline_callback:Timeline]", "stop.env_steps=1M"]
    plan = make(load("impala_cartpole.yaml", overrides=overrides, root=ROOT).sweep, machine)
    assert plan.resources.env_runners == ENV_RUNNERS
    trial = trainable_for(plan)(plan.trials[0].tune_config)
    samples, updates = [], []
    try:
        trial.begin()
        for _ in range(40):  # the env runners take some seconds to start
            result = trial._algorithm.train()
            samples.append(spans(result["env_runners"], "sample"))
            updates.append(spans(result.get("learners", {}).get(ALL_MODULES, {}), "update"))
            if sum(map(len, updates)) > 2 * UPDATES:
                break
    finally:
        trial.cleanup()
    sampled, updated = np.concatenate(samples), np.concatenate(updates)
    inside = updated[(updated[:, 0] > sampled[:, 0].min()) & (updated[:, 1] < sampled[:, 1].max())]
    assert len(inside) > UPDATES
    begins, ends = sampled[:, :1], sampled[:, 1:]
    overlaps = ((begins < inside[:, 1]) & (ends > inside[:, 0])).sum(axis=0)
    print(f"samples under way in each of {len(inside)} updates: {np.bincount(overlaps)} times 0, 1, …")
    assert (overlaps > 0).mean() > 0.9, "somebody samples in almost every update"
    assert overlaps.mean() > 1, "and mostly more than one"
