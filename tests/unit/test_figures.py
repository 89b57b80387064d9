"""What the figures of a report draw: scales, contours, the timeline, files for papers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from analysis.comparison import ConfigurationResult
from analysis.contours import contour, contours
from analysis.costs import costs
from analysis.cuts import parse_cut
from analysis.figures import draw_parameters
from analysis.findings import Findings, find, find_together, judge
from analysis.history import RunHistory, TrialHistory
from analysis.parameter_plots import contour_plot, parallel_coordinates_plot, parameter_plot
from analysis.parameters import SweptParameter, swept_parameters
from analysis.reading import Skipped
from analysis.report import FIGURE, INDEX, PARAMETERS_FIGURE, SUMMARY_MD, write_report
from analysis.run_plots import timeline_plot
from analysis.sections import sections
from analysis.trial_results import TrialResult
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord

LR, GAMMA = "training.lr", "training.gamma"
PNG = b"\x89PNG"


def result(config_id: str, value: float, seeds: int = 1, is_short: bool = False) -> ConfigurationResult:
    trials = tuple(
        TrialResult(
            f"{config_id}{seed}", config_id, seed, "finished", "search", (value,), value, 9, is_short=is_short
        )
        for seed in range(seeds)
    )
    return ConfigurationResult(config_id, trials, (value,), math.nan, value, seeds, True)


def parameter(path: str, values: dict[str, Any], is_log: bool = False) -> SweptParameter:
    return SweptParameter(path, values, is_log)


def history(
    values: list[dict[str, Any]],
    parameters: dict[str, Any] | None = None,
    rows: list[list[dict[str, Any]]] | None = None,
    statuses: list[str] | None = None,
    goal: Literal["maximize", "minimize"] = "maximize",
) -> RunHistory:
    """A configuration of one seed for each mapping of values, with a score of its place."""
    spec: dict[str, Any] = {"name": "t", "scheduler": {"type": "asha"}}
    if parameters is not None:
        spec["search"] = {"parameters": parameters}
    trials = []
    for index, one in enumerate(values):
        status = (statuses or [])[index] if statuses else "finished"
        record = TrialRecord(f"c{index}-0", f"c{index}", one, 0, "h", status=status)
        own = (
            [{"env_steps": 100, "score": float(index), "score_valid": True}] if rows is None else rows[index]
        )
        trials.append(TrialHistory(record, pd.DataFrame(own), Skipped()))
    objectives = [Objective("score", goal, most_env_steps=1_000)]
    records = [trial.record for trial in trials]
    return RunHistory(Manifest("t", spec, "", "", "", objectives, "", "", {}, records), tuple(trials))


def on_disk(storage: Path, run: RunHistory) -> RunLayout:
    layout = Storage(storage).run(run.manifest.name)
    for trial in run.trials:
        layout.trial(trial.record.id).mkdir(parents=True)
        lines = [json.dumps(row) + "\n" for row in trial.rows.to_dict(orient="records")]
        layout.result_json(trial.record.id).write_text("".join(lines))
    run.manifest.write(layout)
    return layout


@pytest.mark.parametrize(
    ("written", "is_log"),
    [
        ({"min": 1e-5, "max": 1e-2, "distribution": "log_uniform"}, True),
        ({"min": 1, "max": 100, "distribution": "log_int_uniform"}, True),
        ({"mu": -7.0, "sigma": 1.0, "distribution": "log_normal"}, True),
        ({"min": 1e-5, "max": 1e-2}, False),
        ({"values": [1e-5, 1e-2]}, True),
        (None, True),
    ],
)
def test_the_space_decides_on_the_scale(written: dict[str, Any] | None, is_log: bool) -> None:
    spec = {} if written is None else {LR: written}
    (found,) = swept_parameters(history([{LR: 1e-5}, {LR: 1e-2}], spec))
    assert found.is_log == is_log
    (narrow,) = swept_parameters(history([{LR: 1e-3}, {LR: 2e-3}], spec))
    assert narrow.is_log == (is_log and written is not None and "values" not in written), "a guess"


def test_what_is_swept_and_what_is_a_number() -> None:
    run = history([{LR: 1e-3, "a": True, "n": "x", "same": 1}, {LR: 0.0, "a": False, "n": "y", "same": 1}])
    found = {one.path: (one.is_numeric, one.is_log) for one in swept_parameters(run)}
    assert found == {LR: (True, False), "a": (False, False), "n": (False, False)}
    only_some = history([{LR: 1e-3}, {LR: 1e-2, "b": 3}, {LR: 1e-1, "b": 4}])
    assert swept_parameters(only_some)[1].values == {"c1": 3, "c2": 4}


def grid(num: int = 3) -> tuple[list[ConfigurationResult], SweptParameter, SweptParameter]:
    """Values of x + 10 y, with x over powers of ten."""
    places = {f"{x}-{y}": (10.0**x, float(y)) for x in range(num) for y in range(num)}
    ranked = [result(name, math.log10(x) + 10 * y) for name, (x, y) in places.items()]
    return (
        ranked,
        parameter("x", {name: x for name, (x, _) in places.items()}, is_log=True),
        parameter("y", {name: y for name, (_, y) in places.items()}),
    )


def test_a_contour_is_linear_between_configurations_on_their_own_scale() -> None:
    ranked, x, y = grid()
    found = contour(ranked, x, y)
    assert found is not None
    assert (found.grid_x[0], found.grid_x[-1]) == pytest.approx((1.0, 100.0))
    expected = np.log10(found.grid_x)[None, :] + 10 * found.grid_y[:, None]
    assert found.values == pytest.approx(expected, abs=1e-4)


def test_there_is_no_contour_of_too_few_points_or_of_a_line() -> None:
    ranked, x, y = grid(2)
    assert contour(ranked, x, y) is None, "four points"
    line = [result(f"c{index}", 1.0 * index) for index in range(9)]
    first = parameter("x", {f"c{index}": index for index in range(9)})
    assert contour(line, first, parameter("y", {f"c{index}": 2 * index for index in range(9)})) is None
    assert contour(line, first, parameter("y", {f"c{index}": 7 for index in range(9)})) is None


def test_results_at_one_point_are_averaged_and_missing_ones_left_out() -> None:
    ranked, x, y = grid()
    again = [result("0-0 again", 8.0), result("nan", math.nan), result("other", 99.0)]
    x = parameter("x", {**x.values, "0-0 again": 1.0, "nan": 5.0}, is_log=True)
    y = parameter("y", {**y.values, "0-0 again": 0.0, "nan": 5.0, "other": 1.0})
    found = contour([*ranked, *again], x, y)
    assert found is not None
    assert found.values[0, 0] == pytest.approx(4.0)
    assert {one.config_id for one in found.configurations} == {*x.values} - {"nan"}


def test_the_pairs_that_matter_most_come_first() -> None:
    random = np.random.default_rng(0)
    ranked = [result(f"c{index}", float(index)) for index in range(12)]
    names = [one.config_id for one in ranked]
    parameters = [
        parameter(path, dict(zip(names, map(float, random.random(12)), strict=True))) for path in "abcd"
    ]
    parameters.append(parameter("word", dict.fromkeys(names, "x")))
    shares = {"d": 0.6, "b": 0.3, "a": 0.1}
    pairs = [(one.x.path, one.y.path) for one in contours(ranked, parameters, shares)]
    assert pairs == [("b", "d"), ("a", "d"), ("c", "d")]
    first = [(one.x.path, one.y.path) for one in contours(ranked, parameters, {})]
    assert first == [("a", "b"), ("a", "c"), ("a", "d")]


@pytest.mark.parametrize("maximize", [True, False])
def test_the_bright_end_is_the_better_one(maximize: bool) -> None:
    ranked, x, y = grid()
    found = contour(ranked, x, y)
    assert found is not None
    field, points = contour_plot(found, "score", maximize=maximize).data
    assert field.reversescale == (not maximize)
    assert (field.zmin, field.zmax) == (0.0, 22.0)
    assert list(points.x) == [x.values[one.config_id] for one in ranked]
    layout = contour_plot(found, "score", maximize=maximize).layout
    assert (layout.xaxis.type, layout.yaxis.type) == ("log", "linear")


def test_marks_of_the_best_and_of_what_was_stopped() -> None:
    ranked, x, y = grid()
    ranked[1] = result(ranked[1].config_id, ranked[1].value, is_short=True)
    found = contour(ranked, x, y)
    assert found is not None
    symbols = contour_plot(found, "score", maximize=True).data[1].marker.symbol
    assert list(symbols[:3]) == ["star", "x", "circle"]


def test_parallel_coordinates_place_what_is_missing_and_what_has_no_result() -> None:
    ranked = [result("a", 1.0), result("b", 2.0), result("c", math.nan)]
    some = parameter("training.kl", {"a": 0.5, "c": 0.7})
    logs = parameter(LR, {"a": 1e-4, "b": 1e-2, "c": 1e-3}, is_log=True)
    names = parameter("network.name", {"a": "x", "b": "y", "c": "x"})
    figure = parallel_coordinates_plot(ranked, [some, logs, names], "score", maximize=True)
    kl, lr, name, score = figure.data[0].dimensions
    assert (list(score["values"]), score.label) == ([1.0, 2.0], "score")
    assert list(lr["values"]) == [-4.0, -2.0]
    assert (lr.ticktext[0], lr.ticktext[-1]) == ("0.0001", "0.01")
    assert kl.ticktext[list(kl.tickvals).index(kl["values"][1])] == "none"
    assert list(name.ticktext) == ["x", "y"]


def test_slices_have_a_point_for_every_seed() -> None:
    ranked = [result("a", 3.0, seeds=3), result("b", 1.0, seeds=2), result("without", 2.0)]
    figure = parameter_plot(ranked, parameter(LR, {"a": 1e-4, "b": 1e-2}, is_log=True), "score")
    seeds, means = figure.data
    assert (len(seeds.x), list(means.x), list(means.y)) == (5, [1e-4, 1e-2], [3.0, 1.0])
    assert figure.layout.xaxis.type == "log"


def timed(start: float, env_steps: int = 100) -> list[dict[str, Any]]:
    return [
        {"env_steps": env_steps * at, "timestamp": start + 60 * at, "seconds": 60.0 * at, "score": 1.0}
        for at in (1, 2)
    ]


def test_the_timeline_marks_what_was_stopped_and_what_that_saved() -> None:
    rows = [timed(1000.0), timed(1030.0), [{"env_steps": 5, "score": 1.0}], timed(math.nan), []]
    statuses = ["finished", "stopped", "stopped", "finished", "pending"]
    run = history([{LR: index} for index in range(5)], rows=rows, statuses=statuses)
    bars = {trace.name: trace for trace in timeline_plot(run, costs(run)).data}
    assert set(bars) == {"saved", "finished", "stopped early", "stopped here"}
    assert list(bars["stopped early"].y) == [1]
    assert bars["stopped here"].x[0] == pytest.approx(1.5), "minutes after the first row of all"
    assert bars["saved"].x[0] == pytest.approx(8.0), "800 env steps at 100 in a minute"
    assert bars["saved"].base[0] == pytest.approx(1.5)
    assert "saved" not in {trace.name for trace in timeline_plot(run).data}


def many(goal: Literal["maximize", "minimize"] = "maximize") -> RunHistory:
    random = np.random.default_rng(1)
    values = [{LR: float(10 ** random.uniform(-5, -2)), GAMMA: float(random.random())} for _ in range(9)]
    parameters = {LR: {"min": 1e-5, "max": 1e-2, "distribution": "log_uniform"}, GAMMA: {"min": 0, "max": 1}}
    return history(values, parameters, goal=goal)


def titles(found: Findings) -> list[str]:
    return [section.title for section in sections(found, None)]


def test_sections_of_a_sweep_of_two_parameters() -> None:
    assert titles(judge(many())) == [
        "Learning curves",
        "What each parameter does",
        "Two parameters at a time",
        "All parameters together",
        "Which parameters matter",
        "Which trial ran when, how it ended, and what it cost",
    ]
    (contours_section,) = [one for one in sections(judge(many("minimize")), None) if "Two" in one.title]
    assert "Bright is better: minimize `score`." in contours_section.text
    assert contours_section.figures[0].layout.xaxis.type == "log"


def test_a_report_has_files_for_papers(tmp_path: Path) -> None:
    layout = on_disk(tmp_path, many())
    write_report(find(layout), layout, layout.report)
    markdown = (layout.report / SUMMARY_MD).read_text("utf-8")
    for name in (FIGURE, PARAMETERS_FIGURE):
        assert (layout.report / name).read_bytes().startswith(PNG)
        svg = (layout.report / name).with_suffix(".svg")
        assert "<svg" in svg.read_text("utf-8")
        assert f"[{svg.name}]({svg.name})" in markdown
    assert "Spent: 900 env steps over 9 trials." in markdown
    assert "Spent: 900 env steps" in (layout.report / INDEX).read_text("utf-8")
    again = tmp_path / "again"
    write_report(find(layout), layout, again)
    for svg in layout.report.glob("*.svg"):
        assert svg.read_bytes() == (again / svg.name).read_bytes(), "the same run gives the same files"


def test_a_population_in_the_report(tmp_path: Path) -> None:
    run = many()
    layout = on_disk(tmp_path, run)
    event = {"donor": "c8-0", "donor_env_steps": 50, "values": {LR: 0.5, GAMMA: 0.5}}
    (layout.trial("c7-0") / RunLayout.LINEAGE_JSON).write_text(json.dumps(event) + "\n")
    write_report(find(layout), layout, layout.report)
    page = (layout.report / INDEX).read_text("utf-8")
    assert "who took over from whom" in page
    assert "its own from the beginning" in (layout.report / SUMMARY_MD).read_text("utf-8")


def test_without_swept_parameters_nothing_of_them_is_drawn(tmp_path: Path) -> None:
    layout = on_disk(tmp_path, history([{}]))
    write_report(find(layout), layout, layout.report)
    assert not (layout.report / PARAMETERS_FIGURE).exists()
    assert PARAMETERS_FIGURE not in (layout.report / SUMMARY_MD).read_text("utf-8")
    assert (layout.report / FIGURE).with_suffix(".svg").is_file()


@pytest.mark.parametrize("scores", [[math.nan] * 8, [1.0] * 8, [math.nan, *range(7)]])
@pytest.mark.parametrize("at", [None, "50", "100"])
def test_a_report_of_anything(tmp_path: Path, scores: list[float], at: str | None) -> None:
    rows = [[{"env_steps": 60 + index, "score": score}] for index, score in enumerate(scores[:-1])]
    values = [{LR: 10.0**-index, "list": [index, 1], "flag": index > 2} for index in range(8)]
    values[3] |= {"extra": None}
    layout = on_disk(tmp_path, history(values, rows=[*rows, []], statuses=["stopped"] * 8))
    cut = parse_cut(at) if at else None
    write_report(find(layout, cut), layout, layout.report)
    other = on_disk(tmp_path / "other", history([{"b": 1.0}]))
    manifest = Manifest.read(other)
    manifest.name = "other"
    manifest.write(other)
    write_report(find_together([layout, other], cut), None, tmp_path / "both")
    assert (tmp_path / "both" / PARAMETERS_FIGURE).is_file()


def test_a_foreign_experiment_with_two_parameters(tmp_path: Path) -> None:
    for index in range(8):
        folder = tmp_path / "exp" / f"PPO_{index:05d}"
        folder.mkdir(parents=True)
        config = {"lr": 10.0 ** -(1 + index % 4), "gamma": 0.9 + 0.01 * (index * 3 % 8)}
        (folder / "params.json").write_text(json.dumps(config))
        row = {"timesteps_total": 100, "episode_reward_mean": float(index), "time_total_s": 36.0}
        (folder / "result.json").write_text(json.dumps(row) + "\n")
    layout = RunLayout(tmp_path / "exp")
    found = find(layout)
    shown = {section.title: section for section in sections(found, layout)}
    assert shown["Two parameters at a time"].figures[0].layout.xaxis.type in ("log", "linear")
    assert {one.path: one.is_log for one in swept_parameters(found.run)} == {"gamma": False, "lr": True}
    assert shown["What it cost"].text.startswith("Spent: 4.8 trial minutes and 800 env steps")
    write_report(found, layout, tmp_path / "out")


def test_parameters_for_papers_without_a_single_value(tmp_path: Path) -> None:
    ranked = [result("a", math.nan), result("b", math.nan)]
    parameters = [
        parameter(LR, {"a": 1e-4, "b": 1e-2}, is_log=True),
        parameter("network.name", {"a": "x", "b": "y"}),
        parameter("gone", {"elsewhere": 1.0, "too": 2.0}),
        parameter("gone too", {"elsewhere": "x", "too": "y"}),
    ]
    draw_parameters(ranked, parameters, "score", "t", tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(PNG)
