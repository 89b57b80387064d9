"""Results that do not count never reach a scheduler; those that do come with the keys it reads."""

from __future__ import annotations

import math
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from rlsweep.run.schedulers import COMPARED, GRACES, Guarded
from rlsweep.store.manifest import Objective


class Recorder(TrialScheduler):
    """Stops every trial that it hears of."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        self.heard.append(("result", result))
        return "STOP"

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self.heard.append(("complete", result))

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self.heard.append(("remove", {}))


def row(score: float, valid: bool, env_steps: int = 3000) -> dict[str, Any]:
    return {"score": score, "score_valid": valid, "env_steps": env_steps}


@pytest.mark.parametrize("invalid", [row(math.nan, False), row(99.0, False), row(math.nan, True)])
def test_an_invalid_score_neither_kills_nor_crowns(invalid: dict[str, Any]) -> None:
    recorder = Recorder()
    guarded = Guarded(recorder, Objective("score", "maximize"))
    assert guarded.on_trial_result(None, None, invalid) == "CONTINUE"
    guarded.on_trial_complete(None, None, invalid)
    assert recorder.heard == [("remove", {})]


def test_a_valid_score_is_compared_in_units_of_the_grace() -> None:
    recorder = Recorder()
    guarded = Guarded(recorder, Objective("score", "maximize"), grace=1500)
    assert guarded.on_trial_result(None, None, row(7.0, True)) == "STOP"
    guarded.on_trial_complete(None, None, row(8.0, True))
    assert [(kind, result[COMPARED], result[GRACES]) for kind, result in recorder.heard] == [
        ("result", 7.0, 2.0),
        ("complete", 8.0, 2.0),
    ]
