from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

import imageio.v2 as imageio
import numpy as np
import pytest

from analysis.comparison import compare, winner
from analysis.curves import learning_curves
from analysis.figures import draw_learning_curves
from analysis.findings import find
from analysis.history import read_run
from analysis.own_rows import read_rows
from analysis.reading import Skipped, last_row_of
from analysis.report import SUMMARY_MD, write_report
from rlsweep.errors import RunError
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord


def row(env_steps: int, score: float, valid: bool = True) -> dict[str, Any]:
    return {"env_steps": env_steps, "score": score, "score_valid": valid}


def make_run(
    storage: Path,
    trials: dict[tuple[str, int], list[dict[str, Any]]],
    goal: Literal["maximize", "minimize"] = "maximize",
    statuses: dict[str, str] | None = None,
    phases: dict[int, str] | None = None,
) -> RunLayout:
    layout = Storage(storage).run("t")
    records = []
    for (config_id, seed), rows in trials.items():
        trial_id = f"{config_id}_seed{seed}"
        status = (statuses or {}).get(config_id, "finished")
        phase = (phases or {}).get(seed, "search")
        records.append(TrialRecord(trial_id, config_id, {}, seed, "h", phase=phase, status=status))
        layout.trial(trial_id).mkdir(parents=True)
        lines = "".join(json.dumps(entry) + "\n" for entry in rows)
        layout.result_json(trial_id).write_text(lines)
    objectives = [Objective("score", goal)]
    Manifest("t", {"name": "t"}, "h", "h", "", objectives, "now", "c", {"ray": "2"}, records).write(layout)
    return layout


def test_means_and_spread_over_seeds_by_hand(tmp_path: Path) -> None:
    layout = make_run(
        tmp_path,
        {
            ("a", 0): [row(10, 9.0), row(20, 2.0)],
            ("a", 1): [row(10, 1.0), row(20, 4.0)],
            ("b", 0): [row(10, 1.0), row(20, 5.0)],
            ("b", 1): [row(10, 1.0), row(30, 5.0)],
        },
    )
    first, second = compare(read_run(layout))
    assert (first.config_id, first.value, first.last_std, first.best_mean) == ("b", 5.0, 0.0, 5.0)
    assert first.env_steps == 20
    assert (second.value, second.best_mean) == (3.0, 6.5)
    assert second.last_std == pytest.approx(math.sqrt(2))


def test_diverged_trials_have_no_value_and_stopped_ones_rank_behind(tmp_path: Path) -> None:
    trials = {(name, 0): [row(10, score)] for name, score in [("nan", 99.0), ("cut", 50.0), ("whole", 5.0)]}
    statuses = {"nan": "diverged", "cut": "stopped"}
    ranked = compare(read_run(make_run(tmp_path, trials, statuses=statuses)))
    assert [found.config_id for found in ranked] == ["whole", "cut", "nan"]
    assert math.isnan(ranked[2].value)
    curves = learning_curves(read_run(Storage(tmp_path).run("t")), ["nan", "cut", "whole"])
    assert {curve.config_id for curve in curves} == {"cut", "whole"}


def test_confirmed_configurations_are_judged_by_the_new_seeds_alone(tmp_path: Path) -> None:
    trials = {
        ("lucky", 0): [row(10, 90.0)],
        ("lucky", 7): [row(10, 10.0)],
        ("steady", 0): [row(10, 50.0)],
        ("steady", 7): [row(10, 40.0)],
        ("rest", 0): [row(10, 80.0)],
    }
    run = read_run(make_run(tmp_path, trials, phases={7: "confirm"}))
    assert [found.config_id for found in compare(run, "search")] == ["lucky", "rest", "steady"]
    ranked = compare(run)
    assert [(found.config_id, found.value) for found in ranked] == [
        ("steady", 40.0),
        ("lucky", 10.0),
        ("rest", 80.0),
    ]
    assert winner(run).is_confirmed
    seeds = {
        curve.config_id: len(curve.seeds)
        for curve in learning_curves(run, [found.config_id for found in ranked])
    }
    assert seeds == {"lucky": 1, "steady": 1, "rest": 1}, "the picture shows what the table says"


def test_a_lucky_peak_does_not_win(tmp_path: Path) -> None:
    layout = make_run(
        tmp_path, {("lucky", 0): [row(1, 100.0), row(2, 1.0)], ("steady", 0): [row(1, 2.0), row(2, 3.0)]}
    )
    assert winner(read_run(layout)).config_id == "steady"


def test_minimize_turns_the_order(tmp_path: Path) -> None:
    layout = make_run(tmp_path, {("a", 0): [row(1, 3.0)], ("b", 0): [row(1, 2.0)]}, goal="minimize")
    assert winner(read_run(layout)).config_id == "b"


def test_scores_that_are_not_valid_yet_do_not_count(tmp_path: Path) -> None:
    layout = make_run(
        tmp_path,
        {
            ("early", 0): [row(1, 50.0, valid=False), row(2, 1.0), row(3, float("nan"))],
            ("none", 0): [row(1, 99.0, valid=False)],
            ("empty", 0): [],
        },
    )
    ranked = compare(read_run(layout))
    assert (ranked[0].config_id, ranked[0].value, ranked[0].best_mean) == ("early", 1.0, 1.0)
    assert {found.config_id for found in ranked[1:]} == {"none", "empty"}
    assert all(math.isnan(found.value) for found in ranked[1:])


def test_one_lucky_seed_ranks_behind_two(tmp_path: Path) -> None:
    layout = make_run(
        tmp_path,
        {
            ("lucky", 0): [row(1, 50.0)],
            ("lucky", 1): [],
            ("steady", 0): [row(1, 4.0)],
            ("steady", 1): [row(1, 6.0)],
        },
    )
    first, second = compare(read_run(layout))
    assert (first.config_id, first.seeds_text) == ("steady", "2 seeds")
    assert (second.value, second.seeds_text) == (50.0, "1 of 2 seeds")
    assert "Some seeds have no valid value" in (text := "\n".join(find(layout).cautions))
    assert "lucky (1 of 2 seeds)" in text


def test_rows_that_a_retry_made_again_replace_the_abandoned_ones(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    branches = [row(10, 1.0), row(20, 2.0), row(35, 9.0), row(21, 3.0), row(31, 4.0)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in branches))
    rows, _ = read_rows(path)
    assert rows["env_steps"].tolist() == [10, 20, 21, 31]
    assert rows["score"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_an_iteration_that_a_retry_made_again_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    made = [row(10, 1.0), row(20, 2.0), row(21, 3.0), row(30, 4.0)]  # the second time an env step longer
    iterations = [1, 2, 2, 3]
    lines = [entry | {"training_iteration": number} for entry, number in zip(made, iterations, strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows, _ = read_rows(path)
    assert list(rows["env_steps"]) == [10, 21, 30]
    assert last_row_of(path) == lines[-1]


def test_without_any_valid_score_nobody_wins(tmp_path: Path) -> None:
    layout = make_run(tmp_path, {("a", 0): [row(1, 1.0, valid=False)]})
    with pytest.raises(RunError, match="no trial has a valid score"):
        winner(read_run(layout))


def test_a_bad_line_costs_no_trial(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    good = json.dumps(row(1, 1.0))
    lines = [
        good,
        '{"env_ste',
        "[1]",
        '{"env_steps": "x"}',
        '{"env_steps": null}',
        '{"env_steps": 2, "score": "a"}',
    ]
    lines += [json.dumps(row(2, 2.0)), json.dumps(row(2, 3.0)), good[:9]]
    path.write_text("\n".join(lines))
    rows, skipped = read_rows(path)
    assert rows["score"].tolist() == [1.0, 3.0], "of a row written twice the later one counts"
    assert skipped == Skipped(broken=2, foreign=4, superseded=1)
    assert read_rows(tmp_path / "nowhere.json")[0].empty


def test_curves_of_seeds_meet_on_one_grid(tmp_path: Path) -> None:
    layout = make_run(
        tmp_path,
        {
            ("a", 0): [row(0, 0.0), row(100, 10.0)],
            ("a", 1): [row(0, 2.0), row(50, 2.0)],
        },
    )
    (curve,) = learning_curves(read_run(layout), ["a"])
    middle = int(np.argmin(abs(curve.env_steps - 25)))
    assert curve.mean[middle] == pytest.approx((0.1 * curve.env_steps[middle] + 2.0) / 2)
    assert np.isnan(curve.mean[-1]), "after the shorter seed a mean would jump to the longer one"
    assert np.isnan(curve.seeds[1, -1])


def test_a_curve_knows_the_phase_that_each_seed_was_in(tmp_path: Path) -> None:
    def in_phase(env_steps: int, phase: int) -> dict[str, Any]:
        return row(env_steps, 1.0) | {"curriculum/phase": phase, "curriculum/phase_name": "ab"[phase]}

    layout = make_run(
        tmp_path,
        {
            ("a", 0): [in_phase(0, 0), in_phase(100, 0), in_phase(200, 1), in_phase(300, 0)],
            ("a", 1): [in_phase(0, 0), in_phase(150, 1)],
        },
    )
    (curve,) = learning_curves(read_run(layout), ["a"])
    first, second = curve.phases
    assert [first[np.searchsorted(curve.env_steps, steps)] for steps in (50, 101, 199, 299)] == [0, 1, 1, 0]
    assert second[np.searchsorted(curve.env_steps, 100)] == 1
    assert math.isnan(second[-1]), "it had ended"
    plain, shown = tmp_path / "plain.png", tmp_path / "phases.png"
    draw_learning_curves([curve], "score", "t", plain)
    draw_learning_curves([curve], "score", "t", shown, ["a", "b"])
    heights = [imageio.imread(path).shape[0] for path in (plain, shown)]
    assert heights[1] > heights[0], "bands below the curves"


def test_the_report_is_a_page_and_a_picture(tmp_path: Path) -> None:
    layout = make_run(tmp_path, {("a|b", 0): [row(1, 1.0), row(2, 2.0)], ("c", 0): []})
    write_report(find(layout), layout, layout.report)
    page = (layout.report / SUMMARY_MD).read_text("utf-8")
    assert "| a\\|b | 0 | 2.00 ± – | 2.00 | 2 | finished |" in page
    assert "One seed says little" in page
    assert "No valid value yet: c" in page
    picture = (layout.report / "learning_curves.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run in"):
        read_run(Storage(tmp_path).run("nothing"))


def test_a_report_before_the_first_trial_and_of_another_version(tmp_path: Path) -> None:
    layout = make_run(tmp_path, {})
    write_report(find(layout), layout, layout.report)
    assert "nothing to compare" in (layout.report / "index.html").read_text("utf-8")
    run = make_run(tmp_path / "old", {("a", 0): [row(1, 1.0)], ("b", 0): [row(1, 2.0)]})
    manifest = Manifest.read(run)
    manifest.spec = {"search": {"parameters": {"training.lr": {"values": [1]}}}, "gone": 1}
    manifest.write(run)
    assert find(run).verdicts, "a spec that cannot be read costs the comparison with the default alone"
