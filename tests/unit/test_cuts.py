"""Trials as they stood at some point: what came after does not count, what never got there ranks behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.comparison import compare, winner
from analysis.cuts import cut_off, parse_cut
from analysis.findings import find
from analysis.history import RunHistory, read_run
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord


def make_run(
    storage: Path,
    trials: dict[str, tuple[str, list[tuple[int, float]]]],
    phases: dict[str, str] | None = None,
) -> RunLayout:
    """Trial id -> its status, and env steps and scores of its rows; `a1` is a trial of configuration `a`."""
    layout = Storage(storage).run("t")
    records = []
    for seed, (trial_id, (status, rows)) in enumerate(trials.items()):
        phase = (phases or {}).get(trial_id, "search")
        records.append(TrialRecord(trial_id, trial_id[0], {}, seed, "h", phase=phase, status=status))
        layout.trial(trial_id).mkdir(parents=True)
        lines = [{"env_steps": steps, "score": score, "score_valid": True} for steps, score in rows]
        layout.result_json(trial_id).write_text("".join(json.dumps(line) + "\n" for line in lines))
    spec: dict[str, Any] = {"name": "t", "scheduler": {"type": "asha"}}
    objectives = [Objective("score", "maximize")]
    Manifest("t", spec, "h", "h", "", objectives, "now", "c", {}, records).write(layout)
    return layout


def at(layout: RunLayout, point: str) -> RunHistory:
    return cut_off(read_run(layout), parse_cut(point))


def test_what_a_trial_did_after_the_cut_does_not_count(tmp_path: Path) -> None:
    rows = [(2000, 1.0), (5000, 10.0), (8000, 50.0)]
    better = [(2000, 1.0), (5000, 100.0)]
    crashed = [(5000, 60.0), (6000, 0.0)]
    layout = make_run(
        tmp_path,
        {"a1": ("finished", rows), "b1": ("stopped", better), "c1": ("failed", crashed)},
    )
    ranked = compare(at(layout, "5k"))
    assert [(one.config_id, one.value) for one in ranked] == [("b", 100.0), ("c", 60.0), ("a", 10.0)]
    assert all(one.is_complete for one in ranked)
    assert [one.config_id for one in compare(read_run(layout))] == ["a", "b", "c"]


def test_a_trial_that_never_got_there_ranks_behind_and_the_report_says_so(tmp_path: Path) -> None:
    layout = make_run(
        tmp_path,
        {"a1": ("finished", [(8000, 10.0)]), "b1": ("interrupted", [(2000, 99.0)])},
    )
    found = find(layout, parse_cut("8k"))
    assert [one.config_id for one in found.ranked] == ["a", "b"]
    assert any("Not every trial got as far" in text and ": b." in text for text in found.cautions)
    assert "`b` ends 89 ahead of `a`" in found.verdicts[0]
    assert "a trial of the other ended early" in found.verdicts[0]


def test_a_trial_that_reached_its_goal_before_the_cut_stands_as_it_ended(tmp_path: Path) -> None:
    layout = make_run(
        tmp_path, {"a1": ("finished", [(2000, 500.0)]), "b1": ("finished", [(2000, 9.0), (8000, 20.0)])}
    )
    assert [one.config_id for one in compare(at(layout, "8k"))] == ["a", "b"]


def test_how_a_trial_ended_is_told_by_all_of_its_rows(tmp_path: Path) -> None:
    layout = make_run(tmp_path, {"a1": ("stopped", [(2000, 1.0), (5000, 2.0)])})
    [trial] = at(layout, "2k").trials
    assert trial.words("asha", layout.trial("a1")) == "stopped early by asha at 5k env steps"
    assert len(trial.rows) == 1


def test_trials_of_unequal_length_are_not_compared_without_a_word(tmp_path: Path) -> None:
    layout = make_run(tmp_path, {"a1": ("finished", [(9000, 10.0)]), "b1": ("finished", [(2000, 28.0)])})
    assert "unequal length, 2,000 to 9,000 env steps" in " ".join(find(layout).cautions)


def test_nothing_is_judged_by_a_seed_that_a_longer_stop_has_left_behind(tmp_path: Path) -> None:
    layout = make_run(tmp_path, {"a1": ("finished", [(9000, 10.0)]), "a2": ("finished", [(2000, 28.0)])})
    manifest = Manifest.read(layout)
    manifest.trial("a2").is_outgrown = True
    manifest.write(layout)
    found = find(layout)
    assert [(one.value, len(one.trials)) for one in found.ranked] == [(10.0, 1)]
    assert len(found.run.trials) == 2, "it is still there"
    assert any("the spec's stop became a longer one: a2." in text for text in found.cautions)


def test_a_confirmation_that_has_not_ended_takes_nothing_away(tmp_path: Path) -> None:
    trials = {
        "a1": ("finished", [(9000, 10.0)]),
        "b1": ("finished", [(9000, 20.0)]),
        "b2": ("pending", []),
    }
    layout = make_run(tmp_path, trials, {"b2": "confirm"})
    assert winner(read_run(layout)).value == 20.0
    assert not winner(read_run(layout)).is_confirmed
    trials["b2"] = ("finished", [(9000, 5.0)])
    ended = make_run(tmp_path / "ended", trials, {"b2": "confirm"})
    assert [(one.config_id, one.value) for one in compare(read_run(ended))] == [("b", 5.0), ("a", 10.0)]


def test_damaged_csv_of_ours_costs_the_damaged_rows(tmp_path: Path) -> None:
    layout = make_run(tmp_path, {"a1": ("finished", [])})
    layout.result_json("a1").unlink()
    lines = [
        "env_steps,score,score_valid",
        "10,1.5,True",
        "20,1.7x,True",
        '30,"{[1]: 2}",True',
        "40,2.5,True",
    ]
    (layout.trial("a1") / RunLayout.PROGRESS_CSV).write_text("\n".join([*lines, "40,3.5,True"]) + "\n")
    found = find(layout)
    assert found.ranked[0].value == 3.5
    assert any("2 no result rows, 1 made again later" in text for text in found.cautions)


def test_columns_of_the_summary_are_not_overwritten(tmp_path: Path) -> None:
    layout = make_run(tmp_path, {"a1": ("finished", [(9000, 10.0)])})
    manifest = Manifest.read(layout)
    manifest.objectives.append(Objective("env_steps", "minimize"))
    manifest.trials[0].values = {"mean": 0.5}
    manifest.write(layout)
    [line] = find(layout).summary.to_dict("records")
    assert (line["mean"], line["mean (parameter)"]) == (10.0, 0.5)
    assert (line["env_steps"], line["env_steps (objective)"]) == (9000, 9000.0)
