"""TPE, through Tune, against random draws on a known function of the hyperparameters."""

from __future__ import annotations

import math
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle, tune

from rlsweep.plan import Machine, make
from rlsweep.plan.search import configurations
from rlsweep.run.nodes import Capacity
from rlsweep.run.searching import ConfigurationSearch
from rlsweep.spec import Sweep
from rlsweep.store.manifest import TRIAL, Objective

TRIALS = 25
SEEDS = range(5)
PARAMETERS = {
    "training.lr": {"distribution": "log_uniform", "min": 1e-5, "max": 1e-1},
    "training.gamma": {"min": 0.9, "max": 0.999},
    "training.entropy_coeff": {"min": 0.0, "max": 0.1},
    "training.num_epochs": {"min": 1, "max": 20},
}


def known_score(values: dict[str, float]) -> float:
    """Best, 0, at lr 1e-3, gamma 0.97, entropy 0.02 and six epochs."""
    return (
        -((math.log10(values["training.lr"]) + 3) ** 2)
        - ((values["training.gamma"] - 0.97) * 30) ** 2
        - ((values["training.entropy_coeff"] - 0.02) * 30) ** 2
        - ((values["training.num_epochs"] - 6) / 7) ** 2
    )


class KnownFunction(tune.Trainable):
    """A trial whose score is known: one row, with the keys that a search reads."""

    def setup(self, config: dict[str, Any]) -> None:
        self.values = config[TRIAL]["values"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save."""

    def step(self) -> dict[str, Any]:
        score = known_score(self.values)
        return {"score": score, "score_valid": True, "env_steps": 1000, "reached_stop": True, "done": True}


def best_found(method: str, seed: int, machine: Machine, storage: Path) -> float:
    search = {"method": method, "trials": TRIALS, "seed": seed, "try_defaults": False}
    sweep = Sweep.parse(
        {
            "version": 1,
            "name": f"{method}{seed}",
            "algorithm": "ppo",
            "env": {"id": "CartPole-v1"},
            "network": {"name": "mlp"},
            "objective": {"goal": "maximize"},
            "stop": {"env_steps": 1000},
            "resources": {"cpus_for_main_process": 1},
            "search": {**search, "parameters": PARAMETERS},
        }
    )
    if sweep.search.is_listed:
        return max(map(known_score, configurations(sweep)))
    plan = make(sweep, machine)
    results = tune.Tuner(
        KnownFunction,
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            search_alg=ConfigurationSearch(
                plan, [Objective("score", "maximize")], lambda trial: trial.tune_config, Capacity(plan)
            ),
            num_samples=-1,
            trial_name_creator=lambda trial: str(trial.config[TRIAL]["id"]),
        ),
        run_config=tune.RunConfig(name=sweep.name, storage_path=str(storage), verbose=0),
    ).fit()
    assert (len(results), results.errors) == (TRIALS, [])
    return max(float(result.metrics["score"]) for result in results)


def test_tpe_beats_random(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
    found = {
        method: [best_found(method, seed, machine, tmp_path) for seed in SEEDS]
        for method in ("tpe", "random")
    }
    with capsys.disabled():
        print({method: [round(best, 3) for best in bests] for method, bests in found.items()})
    assert statistics.mean(found["tpe"]) > statistics.mean(found["random"])
    wins = sum(tpe > random for tpe, random in zip(found["tpe"], found["random"], strict=True))
    assert wins >= 4
