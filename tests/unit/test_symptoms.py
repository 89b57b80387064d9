"""Every rule of `Diagnose` on made-up rows: one trial that has the symptom, and those that have it not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from callbacks.driver import symptoms
from callbacks.driver.diagnose import Diagnose
from callbacks.driver.symptoms import RULES, Rule
from rlsweep.store.symptoms import Symptom

Row = dict[str, Any]
ROW: Row = {"env_steps": 0, "games": 0, "score": 1.0, "timestamp": 0}


def rows(count: int, **series: Callable[[int], float]) -> list[Row]:
    """`count` rows, 10,000 env steps and a game each; other keys as functions of the row's number."""
    return [
        ROW
        | {"env_steps": 10_000 * index, "games": index, "score": float(index)}
        | {key.replace("__", "/"): value(index) for key, value in series.items()}
        for index in range(count)
    ]


def late(before: float, after: float, turn: int = 20) -> Callable[[int], float]:
    """One value, and from row `turn` on another one."""
    return lambda index: before if index < turn else after


SICK: dict[Rule, list[Row]] = {
    symptoms.no_whole_game: rows(60, games=late(0, 3, 5)),
    symptoms.collapsed_entropy: rows(30, learner__entropy=late(1.1, 0.01)),
    symptoms.exploding_gradients: rows(30, learner__gradient_norm=late(0.5, 70.0)),
    symptoms.vanishing_gradients: rows(30, learner__gradient_norm=late(0.5, 1e-8)),
    symptoms.diverging_value_loss: rows(30, learner__qf_loss=late(0.1, 20.0)),
    symptoms.dead_policy: rows(30, custom__action_share__max=late(0.5, 0.999)),
    symptoms.useless_value_function: rows(30, learner__vf_explained_var=late(0.5, -0.2)),
    symptoms.skipped_updates: rows(30, learner__skipped_updates=late(math.nan, 2)),
    symptoms.unchanged_score: rows(150, score=late(3.0, 0.0)),
}
HEALTHY = rows(
    150,
    learner__entropy=lambda index: 1.1 - index / 200,
    learner__gradient_norm=lambda index: 0.5 + (index % 7) / 3,
    learner__vf_loss=lambda index: 1 + index / 20,
    learner__vf_explained_var=lambda index: -0.5 + index / 10,
    learner__skipped_updates=lambda _: math.nan,
    custom__action_share__max=lambda index: 0.9 + 0.1 * (index % 2),
)


def test_every_rule_has_its_case() -> None:
    assert list(SICK) == list(RULES)
    assert len(RULES) == 9


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_finds_its_symptom_and_no_other_does(rule: Rule) -> None:
    found = {other.__name__ for other in RULES if other(SICK[rule]) is not None}
    assert found == {rule.__name__}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("trial", [[], HEALTHY[:1], HEALTHY[:12], HEALTHY], ids=len)
def test_a_healthy_trial_has_none(rule: Rule, trial: list[Row]) -> None:
    assert rule(trial) is None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_values_that_are_no_numbers_are_no_symptom(rule: Rule) -> None:
    nowhere = [row | {key: math.nan for key in row if key not in ROW} for row in HEALTHY]
    assert rule(nowhere) is None


def test_symptoms_say_figures_and_a_remedy() -> None:
    for rule, trial in SICK.items():
        found = rule(trial)
        assert found is not None
        assert any(digit.isdigit() for digit in found.cause)
        assert found.remedy


def test_each_symptom_of_a_trial_is_told_once() -> None:
    told: list[tuple[str, str]] = []

    def tell(trial_id: str, symptom: Symptom) -> None:
        told.append((trial_id, symptom.name))

    diagnose = Diagnose([tell])
    for row in SICK[symptoms.collapsed_entropy]:
        for trial in ("a", "b"):
            diagnose.on_trial_result(0, [], trial, row)
    assert told == [("a", "entropy_collapse"), ("b", "entropy_collapse")]
