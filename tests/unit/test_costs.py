"""What a run has spent and saved, computed by hand."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from analysis.costs import Costs, costs, gpus_per_trial, in_words
from analysis.cuts import cut_off, parse_cut
from analysis.history import RunHistory, TrialHistory
from analysis.merge import merged
from analysis.reading import Skipped
from rlsweep.store.manifest import Manifest, Objective, TrialRecord

HOUR = 3600.0
SPEC = {
    "version": 1,
    "name": "t",
    "algorithm": "ppo",
    "env": {"id": "ALE/Breakout-v5"},
    "network": {"name": "nature_cnn"},
    "objective": {"metric": "score", "goal": "maximize"},
    "stop": {"env_steps": 10_000},
    "resources": {"gpus_per_learner": 0.25},
}


def trial(name: str, status: str, rows: list[dict[str, Any]], **values: Any) -> TrialHistory:
    record = TrialRecord(name, name, dict(values), 0, "h", status=status)
    return TrialHistory(record, pd.DataFrame(rows), Skipped())


def run(*trials: TrialHistory, spec: dict[str, Any] = SPEC, name: str = "t") -> RunHistory:
    objectives = [Objective("score", "maximize", most_env_steps=10_000)]
    records = [one.record for one in trials]
    return RunHistory(Manifest(name, spec, "", "", "", objectives, "", "", {}, records), trials)


def row(env_steps: int, seconds: float) -> dict[str, Any]:
    return {"env_steps": env_steps, "seconds": seconds, "score": 1.0}


def asha() -> RunHistory:
    """Two whole trials of an hour; one stopped after a tenth, which ran at half their speed."""
    return run(
        trial("a", "finished", [row(5_000, HOUR / 2), row(10_000, HOUR)]),
        trial("b", "finished", [row(10_000, HOUR)]),
        trial("c", "stopped", [row(1_000, HOUR / 5)]),
    )


def test_spent_and_saved_by_hand() -> None:
    found = costs(asha())
    assert found.seconds == pytest.approx(2.2 * HOUR)
    assert found.env_steps == 21_000
    assert found.saved_env_steps == 9_000
    assert found.saved_seconds == pytest.approx(9 * HOUR / 5), "at its own throughput"
    assert found.gpus_per_trial == 0.25
    assert found.gpu_hours(found.seconds) == pytest.approx(0.55)
    assert found.gpu_hours(found.saved_seconds) == pytest.approx(0.45)
    assert [one.trial_id for one in found.stopped] == ["c"]


def test_in_words_with_what_it_assumes() -> None:
    text = " ".join(in_words(costs(asha())))
    assert text.startswith("Spent: 33.0 GPU minutes and 21k env steps over 3 trials.")
    assert "saved 27.0 GPU minutes and 9k env steps, 30% of all env steps: 1 of 3 trials were" in text
    assert "its own average throughput" in text
    assert "A trial has 0.25 GPUs." in text


@pytest.mark.parametrize("status", ["finished", "failed", "interrupted", "diverged", "running"])
def test_only_the_scheduler_saves(status: str) -> None:
    found = costs(run(trial("a", status, [row(1_000, 10.0)])))
    assert (found.saved_env_steps, found.saved_seconds) == (0, 0.0)
    assert "saved" not in " ".join(in_words(found))


def test_a_trial_beyond_its_length_saved_nothing() -> None:
    found = costs(run(trial("a", "stopped", [row(10_200, 10.0)])))
    assert (found.saved_env_steps, found.saved_seconds) == (0, 0.0)


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({}, None),
        ({"gpus_per_learner": "auto", "learners": 2}, None),
        ({"gpus_per_learner": 0.5, "gpus": "auto"}, None),
        ({"gpus_per_learner": 0, "gpus": "auto"}, 0.0),
        ({"gpus_per_learner": 0.5}, 0.5),
        ({"gpus_per_learner": 1, "learners": 2}, 2.0),
        ({"gpus_per_learner": 1, "learners": 0}, 1.0),
    ],
)
def test_gpus_of_a_trial_as_the_spec_says(resources: dict[str, Any], gpus: float | None) -> None:
    assert gpus_per_trial(resources) == gpus


def test_without_gpus_the_hours_are_those_of_trials() -> None:
    for resources in ({"gpus_per_learner": 0}, {}):
        found = costs(run(trial("a", "finished", [row(9, 2 * HOUR)]), spec=SPEC | {"resources": resources}))
        assert in_words(found)[0] == "Spent: 2.0 trial hours and 9 env steps over 1 trial."


def test_swept_lengths_count() -> None:
    short = trial("a", "stopped", [row(1_000, 10.0)], **{"stop.env_steps": 4_000})
    usual = trial("b", "stopped", [row(1_000, 10.0)], **{"env.frame_skip": 2})
    assert [one.saved_env_steps for one in costs(run(short, usual)).trials] == [3_000, 9_000]
    old = run(trial("a", "stopped", [row(1_000, 10.0)], **{"env.gone": 1}), spec=SPEC | {"gone": 1})
    assert costs(old).saved_env_steps == 9_000, "a spec that cannot be read has the length of the objective"


def test_rows_without_a_clock_and_trials_without_a_row() -> None:
    found = costs(
        run(
            trial("a", "stopped", [{"env_steps": 1_000}]),
            trial("b", "stopped", [row(0, 0.0)]),
            trial("c", "finished", [row(500, math.nan)]),
            trial("d", "pending", []),
            trial("e", "finished", [row(100, 2.0)]),
        )
    )
    assert [one.trial_id for one in found.trials] == ["a", "b", "c", "e"]
    assert (found.seconds, found.env_steps) == (2.0, 1_600)
    assert (found.saved_seconds, found.saved_env_steps) == (0.0, 19_000)
    assert in_words(Costs((), None)) == []


def test_the_length_of_several_runs_together_is_not_known() -> None:
    both = merged([asha(), run(trial("d", "finished", [row(10_000, HOUR)]), name="u")])
    found = costs(both)
    assert found.gpus_per_trial is None
    assert found.seconds == pytest.approx(3.2 * HOUR)
    assert found.saved_env_steps == 0
    assert "1 of 4 trials early; what that saved is not known" in " ".join(in_words(found))


def test_a_cut_changes_no_cost() -> None:
    assert costs(cut_off(asha(), parse_cut("500"))) == costs(asha())
