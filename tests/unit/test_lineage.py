"""Exploits of a population, read back and followed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.history import RunHistory, read_summary
from analysis.lineage import (
    Exploit,
    Stretch,
    ancestry,
    first_row_after,
    in_words,
    member_names,
    read_exploits,
    stretches,
)
from analysis.lineage_plots import exploits_plot, values_plot
from analysis.parameters import swept_parameters
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord

LR = "training.lr"


def event(donor: str, env_steps: int, lr: float) -> str:
    return json.dumps({"donor": donor, "donor_env_steps": env_steps, "values": {LR: lr}})


def write_run(
    storage: Path, lines: dict[str, list[str]], steps: dict[str, list[int]] | None = None
) -> RunLayout:
    """Members a, b, c with learning rates of 1, 2 and 3; rows at 100, 200 … 400 env steps."""
    layout = Storage(storage).run("p")
    records = []
    for index, name in enumerate("abc"):
        records.append(TrialRecord(name, f"lr={index + 1}", {LR: index + 1.0}, 0, "h", status="finished"))
        layout.trial(name).mkdir(parents=True)
        rows = [
            {"env_steps": at, "score": 10.0 * index + at, "score_valid": True}
            for at in (steps or {}).get(name, [100, 200, 300, 400])
        ]
        layout.result_json(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        if name in lines:
            (layout.trial(name) / RunLayout.LINEAGE_JSON).write_text("\n".join(lines[name]) + "\n")
    spec: dict[str, Any] = {"name": "p", "scheduler": {"type": "pbt"}}
    Manifest("p", spec, "h", "h", "", [Objective("score", "maximize")], "now", "c", {}, records).write(layout)
    return layout


def read(layout: RunLayout) -> tuple[RunHistory, list[Exploit]]:
    run = read_summary(layout)
    return run, read_exploits(run, layout)


def test_damaged_lines_cost_themselves_alone(tmp_path: Path) -> None:
    lines = [
        '{"donor": "b", "donor_env',
        "[1]",
        "7",
        "",
        '{"donor": "b", "donor_env_steps": "100", "values": {}}',
        '{"donor": 1, "donor_env_steps": 100, "values": {}}',
        '{"donor": "b", "donor_env_steps": 100}',
        event("stranger", 150, 1.0),
        event("b", 200, 9.0),
        event("c", 999, 9.0),
    ]
    _, exploits = read(write_run(tmp_path, {"a": lines}))
    assert exploits == [Exploit("a", "b", 200, {LR: 9.0})], "no stranger, none beyond the last row"


def test_a_run_without_exploits_has_none(tmp_path: Path) -> None:
    run, exploits = read(write_run(tmp_path, {}, {"a": []}))
    assert exploits == []
    assert ancestry(run, exploits, "a") == []
    assert in_words([], {}) == ""


def test_what_was_taken_back_does_not_count(tmp_path: Path) -> None:
    lines = [event("b", 100, 5.0), event("b", 300, 6.0), event("c", 200, 7.0)]
    run, exploits = read(write_run(tmp_path, {"a": lines}))
    assert [(one.donor, one.env_steps) for one in exploits] == [("b", 100), ("c", 200)]
    assert stretches(exploits, run.trials[0]) == [
        Stretch("a", 0, 100, {LR: 1.0}),
        Stretch("a", 100, 200, {LR: 5.0}),
        Stretch("a", 200, 400, {LR: 7.0}),
    ]


def test_the_way_of_weights_through_several_members(tmp_path: Path) -> None:
    lines = {"b": [event("c", 100, 5.0)], "a": [event("b", 200, 6.0)], "c": [event("a", 300, 8.0)]}
    run, exploits = read(write_run(tmp_path, lines))
    way = ancestry(run, exploits, "a")
    assert way == [
        Stretch("c", 0, 100, {LR: 3.0}),
        Stretch("b", 100, 200, {LR: 5.0}),
        Stretch("a", 200, 400, {LR: 6.0}),
    ], "c's own exploit came after it gave its weights away"
    names = member_names(run)
    assert names == {"a": "lr=1", "b": "lr=2", "c": "lr=3"}
    assert in_words(way, names).endswith(
        "began in `lr=3` and were taken over by `lr=2` at 100, then by `lr=1` at 200 env steps."
    )
    assert "its own from the beginning" in in_words(way[:1], names)


def test_two_members_that_gave_each_other_their_weights_at_once(tmp_path: Path) -> None:
    lines = {"a": [event("b", 200, 5.0)], "b": [event("a", 200, 6.0)]}
    run, exploits = read(write_run(tmp_path, lines))
    assert [(one.trial_id, one.start, one.end) for one in ancestry(run, exploits, "a")] == [
        ("b", 0, 200),
        ("a", 200, 400),
    ]


def test_rows_are_never_in_step(tmp_path: Path) -> None:
    layout = write_run(tmp_path, {"a": [event("b", 198, 5.0)]}, {"a": [101, 204, 299, 402]})
    run, (exploit,) = read(layout)
    assert first_row_after(run.trials[0], exploit) == 2, "204 is its own row, made before"


def test_a_line_breaks_where_weights_were_taken_over(tmp_path: Path) -> None:
    run, exploits = read(write_run(tmp_path, {"a": [event("c", 200, 5.0)]}))
    figure = exploits_plot(run.trials, member_names(run), exploits, "score")
    line = figure.data[0]
    assert list(line.x) == [100, 200, 200, 200, 300, 400]
    assert list(line.y)[:2] + list(line.y)[3:] == [100, 200, 220, 300, 400], "on from the donor's score"
    assert line.y[2] != line.y[2], "a gap"
    (arrow,) = figure.layout.annotations
    assert (arrow.ax, arrow.ay, arrow.x, arrow.y) == (200, 220, 200, 200)
    assert "took over from lr=3" in figure.data[3].text[0]


def test_an_exploit_before_the_first_score_has_no_arrow(tmp_path: Path) -> None:
    run, exploits = read(write_run(tmp_path, {"a": [event("b", 100, 5.0)]}, {"a": [200, 300]}))
    assert len(exploits) == 1
    assert not exploits_plot(run.trials, member_names(run), exploits, "score").layout.annotations
    assert not exploits_plot(run.trials, member_names(run), exploits, "missing").layout.annotations
    assert exploits_plot(run.trials[:1], member_names(run), exploits, "score").data, "its donor is not drawn"


def test_values_are_steps_over_env_steps(tmp_path: Path) -> None:
    run, exploits = read(write_run(tmp_path, {"a": [event("b", 200, 0.5)]}))
    (parameter,) = swept_parameters(run)
    way = ancestry(run, exploits, "a")
    band, first, *_ = values_plot(run.trials, member_names(run), exploits, way, parameter).data
    assert (list(band.x), list(band.y)) == ([0, 200, 400], [2.0, 0.5, 0.5])
    assert (list(first.x), list(first.y)) == ([0, 200, 400], [1.0, 0.5, 0.5])
    assert first.line.shape == "hv"


def test_a_line_ends_where_its_value_is_not_said(tmp_path: Path) -> None:
    line = json.dumps({"donor": "b", "donor_env_steps": 200, "values": {}})
    run, exploits = read(write_run(tmp_path, {"a": [line]}))
    (parameter,) = swept_parameters(run)
    first = values_plot(run.trials, member_names(run), exploits, [], parameter).data[0]
    assert (list(first.x), list(first.y)) == ([0, 200], [1.0, 1.0])
