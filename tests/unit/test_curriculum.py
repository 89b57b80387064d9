"""When a trial enters another phase: made-up rows through the pure rules."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from rlsweep.errors import SpecError
from rlsweep.run.curriculum import PhaseProgress, first_phase, next_phase, phase_row
from rlsweep.run.progress import Progress
from rlsweep.run.stopping import is_done
from rlsweep.spec import load
from rlsweep.spec.curriculum import CurriculumSpec
from rlsweep.spec.values import value_at

ROOT = Path(__file__).parents[2]

SPEC = """
version: 1
name: curriculum
algorithm: ppo
env: {id: ALE/Breakout-v5}
network: {name: nature_cnn}
objective: {metric: score, goal: maximize}
stop: {env_steps: 10M}
curriculum:
  phases:
    - {name: warm-up, env: {max_frames: 4000}, until: {score: 5, games: 4}}
    - name: sticky
      env: {sticky_actions: 0.25}
      training: {entropy_coeff: 0.005}
      until: {score: 20, games: 2}
    - {name: hard, env: {difficulty: 1, mode: 4}}
  demote: {below: 2, for: 1k, games: 3}
"""
UNTIL = "{score: 20, games: 2}"
DEMOTE = "demote: {below: 2, for: 1k, games: 3}"


def curriculum(*overrides: str, tmp_path: Path, text: str = SPEC) -> CurriculumSpec:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    made = load(path, overrides=overrides, root=ROOT).sweep.curriculum
    assert made is not None
    return made


def played(progress: PhaseProgress, *scores: float, entry: int | None = None, window: int = 4) -> None:
    progress.add_games(scores, [progress.entry if entry is None else entry] * len(scores), window)


def test_a_phase_ends_when_the_window_is_full_and_high_enough(tmp_path: Path) -> None:
    spec, progress = curriculum(tmp_path=tmp_path), PhaseProgress()
    played(progress, 9, 9, 9)
    assert next_phase(spec, progress, {}, 100) == 0, "three of four games"
    played(progress, 1)
    assert next_phase(spec, progress, {}, 200) == 1, "(9 + 9 + 9 + 1) / 4 = 7"


def test_games_of_an_earlier_phase_cannot_promote_again(tmp_path: Path) -> None:
    spec, progress = curriculum(tmp_path=tmp_path), PhaseProgress()
    played(progress, 30, 30, 30, 30)
    progress.enter(next_phase(spec, progress, {}, 100), 100)
    assert (progress.index, progress.entry, progress.scores) == (1, 1, [])
    played(progress, 30, 30, 30, 30, entry=0)  # they began before the promotion
    assert next_phase(spec, progress, {}, 200) == 1
    played(progress, 25, 25)
    assert next_phase(spec, progress, {}, 300) == 2


def test_a_condition_can_ask_to_hold_for_a_while(tmp_path: Path) -> None:
    spec = curriculum("curriculum.phases.0.until.for=500", tmp_path=tmp_path)
    progress = PhaseProgress()
    played(progress, 9, 9, 9, 9)
    assert next_phase(spec, progress, {}, 1000) == 0
    assert next_phase(spec, progress, {}, 1499) == 0
    played(progress, 0, 0, 0, 0)
    assert next_phase(spec, progress, {}, 1600) == 0, "it does not hold any more: the clock starts again"
    played(progress, 9, 9, 9, 9)
    assert next_phase(spec, progress, {}, 1700) == 0
    assert next_phase(spec, progress, {}, 2200) == 1


def test_a_low_score_leads_back_after_a_while(tmp_path: Path) -> None:
    spec, progress = curriculum(tmp_path=tmp_path), PhaseProgress()
    progress.enter(1, 1000)
    played(progress, 0, 0)
    assert next_phase(spec, progress, {}, 2000) == 1, "two of three games"
    played(progress, 0)
    assert next_phase(spec, progress, {}, 3000) == 1
    assert next_phase(spec, progress, {}, 3999) == 1
    assert next_phase(spec, progress, {}, 4000) == 0
    progress.enter(0, 4000)
    played(progress, 0, 0, 0)
    assert next_phase(spec, progress, {}, 9999) == 0, "no phase comes before the first"


@pytest.mark.parametrize(
    ("until", "row", "env_steps", "expected"),
    [
        ("{env_steps: 1k}", {}, 1999, 1),
        ("{env_steps: 1k}", {}, 2000, 2),
        ("{learner/entropy: {below: 0.5}}", {"learner/entropy": 0.6}, 2000, 1),
        ("{learner/entropy: {below: 0.5}}", {"learner/entropy": 0.4}, 2000, 2),
        ("{learner/entropy: {below: 0.5}}", {"learner/entropy": math.nan}, 2000, 1),
        ("{games: 3}", {}, 2000, 2),
        ("{games: 4}", {}, 2000, 1),
        ("{score_min: 0, games: 3}", {}, 2000, 2),
        ("{score_min: 1, games: 3}", {}, 2000, 1),
        ("{human_normalized: 0.010, games: 3}", {}, 2000, 2),  # (2 - 1.7) / (30.5 - 1.7)
        ("{human_normalized: 0.011, games: 3}", {}, 2000, 1),
        ("{env_steps: 5k, games: 3}", {}, 2000, 1),
    ],
)
def test_all_that_is_written_has_to_be_so(
    until: str, row: dict[str, Any], env_steps: int, expected: int, tmp_path: Path
) -> None:
    spec = curriculum("curriculum.demote=null", tmp_path=tmp_path, text=SPEC.replace(UNTIL, until))
    progress = PhaseProgress()
    progress.enter(1, 1000)
    played(progress, 0, 3, 3)
    assert next_phase(spec, progress, row, env_steps, "ALE/Breakout-v5") == expected


def test_an_evaluation_of_the_phase_before_promotes_nobody(tmp_path: Path) -> None:
    text = SPEC.replace(UNTIL, "{eval_score: 10}") + "evaluation: {every: 100k}\n"
    spec = curriculum("curriculum.demote=null", tmp_path=tmp_path, text=text)
    progress, row = PhaseProgress(evaluated_env_steps=1000), {"evaluation/score": 12.0}
    progress.enter(1, 1000)
    assert next_phase(spec, progress, row, 2000) == 1
    progress.evaluated_env_steps = 3000
    assert next_phase(spec, progress, row, 3000) == 2


def test_what_was_best_in_one_phase_says_nothing_in_the_next(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.replace("{env_steps: 10M}", "{env_steps: 10M, score: 4, no_improvement: 1k}"))
    sweep = load(path, root=ROOT).sweep
    progress = Progress(env_steps=5000, best_score=9.0, best_env_steps=1000)
    progress.add_games([9.0] * 100, [1] * 100, [0] * 100)
    assert is_done(sweep, progress), "no improvement since"
    progress.enter_phase(1)
    assert not is_done(sweep, progress)
    progress.enter_phase(2)
    progress.phase.games = 99
    assert not is_done(sweep, progress), "the score is of games of the phase before"
    progress.phase.games = 100
    assert is_done(sweep, progress)


def test_another_name_leaves_a_phase_as_it_is(tmp_path: Path) -> None:
    renamed = curriculum("curriculum.phases.1.name=other", tmp_path=tmp_path).phases[1]
    assert (renamed.name, renamed.training) == ("other", {"entropy_coeff": 0.005})


def test_a_threshold_of_the_spec_is_found_in_its_range(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    sweep = load(path, root=ROOT).sweep
    assert value_at(sweep, "curriculum.phases.0.until.score") == 5
    assert value_at(sweep, "curriculum.demote.for") == 1000
    with pytest.raises(KeyError):
        value_at(sweep, "curriculum.phases.0.until.entropy")


def test_a_list_of_env_steps_goes_wherever_it_says(tmp_path: Path) -> None:
    text = SPEC.replace(", until: {score: 5, games: 4}", "").replace(f"      until: {UNTIL}\n", "")
    text = text.replace(DEMOTE, "schedule: [[0, sticky], [1k, warm-up], [2k, hard]]")
    spec = curriculum(tmp_path=tmp_path, text=text)
    assert first_phase(spec) == 1
    visited = [next_phase(spec, PhaseProgress(), {}, env_steps) for env_steps in (0, 999, 1000, 2000, 10**9)]
    assert visited == [1, 1, 0, 2, 2]


def test_rows_tell_the_phase_and_a_checkpoint_keeps_it(tmp_path: Path) -> None:
    spec, progress = curriculum(tmp_path=tmp_path), Progress()
    progress.phase.enter(1, 1000)
    played(progress.phase, 4, 8)
    assert phase_row(spec, progress.phase, 1500) == {
        "curriculum/phase": 1,
        "curriculum/phase_name": "sticky",
        "curriculum/score": 6.0,
        "curriculum/games": 2,
        "curriculum/env_steps": 500,
    }
    assert Progress.from_json(progress.to_json()) == progress


def test_a_phase_lays_its_settings_over_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    sweep = load(path, root=ROOT).sweep
    found = [sweep.env_in_phase(index) for index in range(3)]
    assert [env.atari.max_frames for env in found] == [4000, 108_000, 108_000]
    assert [env.atari.sticky_actions for env in found] == [0.0, 0.25, 0.0]
    assert [(env.mode, env.difficulty) for env in found] == [(None, None), (None, None), (4, 1)]


def test_thresholds_can_be_searched(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    space = "search: {method: grid, parameters: {curriculum.phases.0.until.score: {values: [3, 5, 10]}}}\n"
    path.write_text(SPEC + space)
    sweep = load(path, root=ROOT).sweep
    assert sweep.search.parameters["curriculum.phases.0.until.score"].choices == [3, 5, 10]
    path.write_text(SPEC + space.replace("phases.0", "phases.3"))
    with pytest.raises(SpecError, match="'3' is no item of a list of 3"):
        load(path, root=ROOT)
