"""The parts of benchmarks/ that measure nothing: ratios, verdicts, the table, the rounds, wrong arguments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.catalogue import GROUPS, MEASUREMENTS, ROWS, Candidate, chosen_rows, count_programs
from benchmarks.disturbance import Process, others, parse_stat
from benchmarks.growth import slope
from benchmarks.machine import cpu_flags, cpu_model
from benchmarks.measure.stopwatch import Stopwatch
from benchmarks.programs import (
    BUSY_CORES,
    MeasurementError,
    Outcome,
    failure_reason,
    read_outcome,
    run,
    run_undisturbed,
)
from benchmarks.rounds import Figures, Pair, measure
from benchmarks.table import BEGIN, END, HEADER, make_line, markdown, with_result
from benchmarks.verdict import Kind, Row, figure_text, ratio_text, ratios, spread_text, target_text, verdict
from rlsweep.errors import UsageError

ROOT = Path(__file__).parents[2]

SPEED = Row("ppo", "PPO", "SB3 PPO", "env steps/s", "ppo", "ppo_sb3", Kind.SPEED, 2.2, 3)
SIZE = Row("replay", "replay", "frames", "MiB", "replay", "replay_frames", Kind.SIZE, 1.3, 1.1)


def test_a_ratio_is_that_of_a_rounds_two_figures() -> None:
    assert ratios(Kind.SPEED, [(100, 50), (900, 300)]) == [2.0, 3.0]
    assert ratios(Kind.SHARE, [(50.0, 100.0)]) == [0.5]
    assert ratios(Kind.DURATION, [(2.0, 6.0), (2.0, 8.0)]) == [3.0, 4.0]
    assert ratios(Kind.SIZE, [(150.0, 100.0)]) == [1.5]
    assert ratios(Kind.SPEED, []) == []
    for bad in ([(0.0, 1.0)], [(1.0, 1.0), (1.0, -1.0)]):
        with pytest.raises(ValueError, match="positive figures"):
            ratios(Kind.SPEED, bad)


def test_verdicts() -> None:
    assert [verdict(SPEED, value) for value in (2.19, 2.2, 2.99, 3.0)] == [
        "short",
        "at least",
        "at least",
        "aim",
    ]
    assert [verdict(SIZE, value) for value in (1.31, 1.3, 1.1, 1.0)] == ["short", "at least", "aim", "aim"]
    assert verdict(Row("x", "x", "y", "s", "a", "b", Kind.SPEED), 0.1) == ""


def test_words_of_figures() -> None:
    assert spread_text([411.2, 430.0, 423.0], figure_text) == "423 (411–430)"
    assert spread_text([1234.5], figure_text) == "1,234"
    assert spread_text([0.6543], figure_text) == "0.654"
    assert spread_text([], figure_text) == "–"
    assert (ratio_text(Kind.SHARE, 0.552), ratio_text(Kind.SPEED, 2.206)) == ("55%", "2.21×")
    assert [target_text(row.kind, row.at_least) for row in (SPEED, SIZE)] == ["2.2×", "≤ 1.3×"]


def test_a_line_has_the_median_of_the_rounds_that_have_both() -> None:
    pair = Pair(Figures([100.0, 900.0, 300.0, 500.0]), Figures([50.0, 300.0, 75.0, None]))
    line = make_line(SPEED, pair)
    cells = dict(zip(HEADER, line.cells, strict=True))
    assert (cells["ours"], cells["theirs"]) == ("400 (100–900)", "75 (50–300)")
    assert (cells["ratio"], line.value) == ("3.00× (2.00×–4.00×)", 3.0)
    assert (cells["met"], line.is_short) == ("aim", False)


def test_a_line_names_the_best_setting_and_unequal_work() -> None:
    ours = Figures([600.0, 620.0], tried={"rlsweep": 600.0}, details=[{"trained_per_env_step": 4.0}] * 2)
    theirs = Figures(
        [300.0, 310.0],
        Candidate("Dummy", "sb3", ()),
        {"Subproc": 200.0, "Dummy": 300.0},
        [{"trained_per_env_step": 2.0}] * 2,
    )
    line = make_line(SPEED, Pair(ours, theirs))
    assert (line.cells[-1], line.is_short) == ("short", True)
    best, work = line.notes
    assert "Dummy is the peer's best (round 1: Subproc 200, Dummy 300)" in best
    assert "ours trains on each env step 4.00 times, theirs 2.00" in work


def test_a_disturbed_row_says_so() -> None:
    disturbed = Figures([600.0], details=[{"busy_cores_of_others": 0.6}])
    line = make_line(SPEED, Pair(disturbed, Figures([200.0])))
    assert line.notes == (
        "PPO against SB3 PPO: not to be trusted, other programs kept up to 0.60 cores busy meanwhile",
    )


def test_the_least_disturbed_attempt_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = iter(
        [Outcome(1.0, {BUSY_CORES: 0.9}), Outcome(2.0, {BUSY_CORES: 0.3}), Outcome(3.0, {BUSY_CORES: 0.5})]
    )
    monkeypatch.setattr("benchmarks.programs.run", lambda *_: next(attempts))
    candidate = Candidate("x", "ours", ())
    assert run_undisturbed(candidate, 1.0, Path()).value == 2.0
    attempts = iter([Outcome(1.0, {BUSY_CORES: 0.9}), Outcome(2.0, {BUSY_CORES: 0.0}), Outcome(3.0, {})])
    assert run_undisturbed(candidate, 1.0, Path()).value == 2.0
    assert next(attempts).value == 3.0


def test_a_row_that_failed_says_why_and_is_short() -> None:
    line = make_line(SPEED, Pair(Figures([600.0]), Figures(failures=["Dummy: no peers"])))
    assert (line.cells[-1], line.value, line.is_short) == ("failed", None, True)
    assert line.notes == ("PPO against SB3 PPO: Dummy: no peers",)


def test_the_readme_keeps_all_but_the_result() -> None:
    readme = f"# Benchmarks\n\n{BEGIN}\nold\n{END}\n\nThe end.\n"
    line = make_line(SIZE, Pair(Figures([800.0]), Figures([672.0])))
    result = markdown([line], ["a machine"], "python -m benchmarks")
    changed = with_result(readme, result)
    assert changed.startswith(f"# Benchmarks\n\n{BEGIN}\n\n| work |")
    assert changed.endswith(f"{END}\n\nThe end.\n")
    assert "old" not in changed
    assert with_result(changed, result) == changed
    for broken in ("", BEGIN, f"{END}{BEGIN}", readme + readme):
        with pytest.raises(ValueError, match="needs the lines"):
            with_result(broken, result)


def test_the_readme_of_the_benchmarks_has_its_place_for_the_result() -> None:
    with_result((ROOT / "benchmarks" / "README.md").read_text("utf-8"), "a result")


def test_rounds_are_interleaved_and_keep_to_the_best_candidate() -> None:
    asked: list[str] = []

    def fake(candidate: Candidate) -> Outcome:
        asked.append(f"{candidate.module} {candidate.name}")
        if candidate.name.startswith("Subproc"):
            raise MeasurementError("no processes")
        return Outcome(float(len(asked)), {})

    speed, size = measure([SPEED, SIZE], 3, fake, lambda _: None)
    assert asked == [
        *(
            "ours rlsweep",
            "sb3 SubprocVecEnv × 16",
            "sb3 DummyVecEnv × 16",
            "replay_memory our replay buffer",
        ),
        *("sb3 DummyVecEnv × 16", "ours rlsweep"),
        *("ours rlsweep", "sb3 DummyVecEnv × 16"),
    ]
    assert len(asked) == count_programs([SPEED, SIZE], 3)
    assert speed.theirs.best is not None
    assert speed.theirs.best.name == "DummyVecEnv × 16"
    assert speed.rounds == [(1.0, 3.0), (6.0, 5.0), (7.0, 8.0)]
    assert speed.theirs.tried == {"SubprocVecEnv × 16": "no processes", "DummyVecEnv × 16": 3.0}
    assert len(size.rounds) == 1


def test_what_failed_once_is_not_tried_again() -> None:
    asked: list[str] = []

    def fake(candidate: Candidate) -> Outcome:
        asked.append(candidate.module)
        if candidate.module == "ours":
            return Outcome(1.0, {})
        raise MeasurementError("broken")

    [pair] = measure([SPEED], 3, fake, lambda _: None)
    assert asked == ["ours", "sb3", "sb3"]
    assert pair.theirs.failures == ["SubprocVecEnv × 16: broken", "DummyVecEnv × 16: broken"]
    assert pair.rounds == []


def test_a_round_that_failed_later_is_left_out() -> None:
    asked: list[str] = []

    def fake(candidate: Candidate) -> Outcome:
        asked.append(candidate.module)
        if len(asked) == 4:
            raise MeasurementError("broken")
        return Outcome(float(len(asked)), {})

    [pair] = measure([SPEED], 3, fake, lambda _: None)
    assert asked == ["ours", "sb3", "sb3", "sb3", "ours", "ours", "sb3"]
    assert pair.rounds == [(1.0, 3.0), (6.0, 7.0)]
    assert pair.theirs.failures == ["round 2 of 3: broken"]


def test_every_row_has_its_measurements_and_every_measurement_its_program() -> None:
    assert len(ROWS) == 12
    assert {key for row in ROWS for key in (row.ours, row.theirs)} == set(MEASUREMENTS)
    assert all(MEASUREMENTS[row.ours].is_fixed == MEASUREMENTS[row.theirs].is_fixed for row in ROWS)
    for measurement in MEASUREMENTS.values():
        assert measurement.candidates or measurement.constant
        for candidate in measurement.candidates:
            assert (ROOT / "benchmarks" / "measure" / f"{candidate.module}.py").is_file()


def test_rows_are_chosen_by_their_groups() -> None:
    assert len(chosen_rows("")) == len(ROWS)
    assert {row.group for row in chosen_rows("dqn, sampling")} == {"dqn", "sampling"}
    with pytest.raises(
        UsageError, match=r"no row 'turnaroud'; there are: ppo, .*did you mean 'turnaround'\?"
    ):
        chosen_rows("ppo,turnaroud")
    with pytest.raises(UsageError, match="names no row"):
        chosen_rows(",")
    assert "ppo" in GROUPS


def test_a_wrong_argument_is_told_without_a_traceback() -> None:
    command = [sys.executable, "-m", "benchmarks", "--only", "pppo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'ppo'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_reading_a_program() -> None:
    assert read_outcome('noise\n{"value": 3, "seconds": 2.0}\n') == Outcome(3.0, {"seconds": 2.0})
    for bad in ("", "noise", "[]", '{"seconds": 1}', '{"value": null}'):
        with pytest.raises(MeasurementError, match="no result"):
            read_outcome(bad)
    trace = "Traceback\n  line\nray.exceptions.RayError: away\nhint: none"
    assert failure_reason(trace, 1) == "exit code 1: ray.exceptions.RayError: away"
    assert failure_reason("", -9) == "exit code -9: it said nothing"


def test_missing_peers_are_named(tmp_path: Path) -> None:
    candidate = Candidate("x", "sb3", (), for_peers=True)
    with pytest.raises(MeasurementError, match="make bench"):
        run(candidate, 1.0, tmp_path / "python")


def test_the_stopwatch_leaves_out_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.0, 15.0])
    monkeypatch.setattr("benchmarks.measure.stopwatch.time.perf_counter", lambda: next(times))
    watch = Stopwatch(5.0)
    assert [watch.note(steps) for steps in (1000, 1200, 1600)] == [False, False, True]
    assert (watch.env_steps, watch.seconds, watch.env_steps_per_second) == (600, 5.0, 120.0)


def test_processes_that_are_not_ours() -> None:
    running = {
        1: Process(0, 5.0),
        7: Process(1, 1.0),
        8: Process(7, 2.0),
        9: Process(8, 3.0),
        4: Process(1, 4.0),
    }
    assert others(running, 7) == {1: 5.0, 4: 4.0}


def test_cpu_time_of_a_process_with_a_strange_name() -> None:
    ticks = [seconds * os.sysconf("SC_CLK_TCK") for seconds in (7, 2)]
    stat = f"12 (a) b (c)) S 3 {' '.join('0' * 9)} {ticks[0]} {ticks[1]} 0 0"
    assert parse_stat(stat) == Process(3, 9.0)


def test_the_processor_in_words() -> None:
    cpuinfo = (
        "processor : 0\nmodel name\t: A CPU\nflags\t: fpu avx2 avx512_bf16\nprocessor : 1\nmodel name : B\n"
    )
    assert (cpu_model(cpuinfo), cpu_flags(cpuinfo)) == ("A CPU", ("avx2", "avx512_bf16"))
    assert (cpu_model(""), cpu_flags("")) == ("unknown processor", ())


def test_a_slope_is_the_cost_of_one_more() -> None:
    assert slope([10, 100, 1000], [3.0, 21.0, 201.0]) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="two counts"):
        slope([10], [1.0])


def test_the_peers_are_the_extra() -> None:
    found = peers.requirements((ROOT / "pyproject.toml").read_text("utf-8"))
    assert any(line.startswith("stable-baselines3==") for line in found)
