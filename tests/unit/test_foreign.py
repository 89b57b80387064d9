"""Experiments of Ray Tune that rlsweep did not run: old and new rows, damaged files, published figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.comparison import compare
from analysis.cuts import cut_off, parse_cut
from analysis.findings import find
from analysis.history import RunHistory, read_run
from analysis.reading import Skipped
from rlsweep.errors import RunError, UsageError
from rlsweep.store.layout import RunLayout

TUNE_2020 = Path(__file__).parents[1] / "data" / "tune_2020"


def read(folder: Path) -> RunHistory:
    return read_run(RunLayout(folder))


def old_row(iteration: int, score: float, lr: float = 1e-4) -> dict[str, Any]:
    """As RLlib 1.x wrote them, the whole configuration in every row."""
    return {
        "episode_reward_mean": score,
        "episode_reward_max": score + 1,
        "episode_reward_min": score - 1,
        "hist_stats": {"episode_reward": [score] * 3, "episode_lengths": [10, 20, 30]},
        "sampler_results": {"episode_reward_mean": score},
        "episodes_total": 5 * iteration,
        "training_iteration": iteration,
        "timesteps_total": 1000 * iteration,
        "time_total_s": 2.5 * iteration,
        "done": iteration == 3,
        "info": {"learner": {"default_policy": {"learner_stats": {"kl": 0.01}, "cur_lr": lr}}},
        "config": {"lr": lr, "env": "Pong", "model": {"dim": 84}, "seed": None},
    }


def new_row(iteration: int, score: float) -> dict[str, Any]:
    """As the new API stack writes them."""
    return {
        "env_runners": {"episode_return_mean": score, "num_env_steps_sampled_lifetime": 500 * iteration},
        "num_env_steps_sampled_lifetime": 500 * iteration,
        "learners": {"default_policy": {"policy_loss": 0.5}, "__all_modules__": {"x": 1}},
        "training_iteration": iteration,
        "time_total_s": float(iteration),
        "config": {"lr": 1e-3},
    }


def write(folder: Path, *lines: Any) -> None:
    folder.mkdir(parents=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "result.json").write_text("\n".join(texts) + "\n")


@pytest.mark.parametrize(
    ("at", "torch", "tensorflow"),
    [("10M", 105.56, 109.46), ("1h", 31.25, 29.33)],
)
def test_published_figures_come_out(at: str, torch: float, tensorflow: float) -> None:
    """The repository's table has 105.6 and 109.5 at 10M time-steps."""
    run = cut_off(read(TUNE_2020), parse_cut(at))
    found = {one.config_id: one.value for one in compare(run)}
    assert found == {"use_pytorch=True": torch, "use_pytorch=False": tensorflow}


def test_the_old_api_stack(tmp_path: Path) -> None:
    name = "PPO_Pong_8f3_00000_0_lr={}_2021-05-06_07-08-09x"
    for lr in (1e-4, 1e-3):
        write(tmp_path / name.format(lr), *(old_row(i, lr * i, lr) for i in (1, 2, 3)))
    run = read(tmp_path)
    assert [trial.record.config_id for trial in run.trials] == ["lr=0.0001", "lr=0.001"]
    rows = run.trials[0].rows
    assert rows["score"].tolist() == pytest.approx([1e-4, 2e-4, 3e-4])
    assert rows["env_steps"].tolist() == [1000, 2000, 3000]
    assert rows["steps_per_second"].tolist() == [400.0, 400.0, 400.0]
    assert rows["learner/cur_lr"].tolist() == [1e-4] * 3
    assert not [name for name in rows if name.startswith(("config", "hist_stats", "sampler_results"))]
    assert {trial.record.status for trial in run.trials} == {"finished"}
    assert [one.config_id for one in compare(run)] == ["lr=0.001", "lr=0.0001"]


def test_the_new_api_stack_and_seeds_without_a_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, *(new_row(i, float(i)) for i in (1, 2)))
    run = read(tmp_path)
    assert [(trial.record.config_id, trial.record.seed) for trial in run.trials] == [("base", 0), ("base", 1)]
    assert run.trials[0].rows["env_steps"].tolist() == [500, 1000]
    assert run.trials[0].rows["learner/policy_loss"].tolist() == [0.5, 0.5]
    (only,) = compare(run)
    assert (only.value, only.valid_seeds) == (2.0, 2)


def test_trials_may_have_different_columns(tmp_path: Path) -> None:
    write(tmp_path / "a", old_row(1, 1.0), old_row(2, 2.0))
    write(tmp_path / "b", new_row(1, 5.0))
    assert [one.value for one in compare(read(tmp_path))] == [5.0, 2.0]


def test_bad_lines_cost_themselves_and_are_counted(tmp_path: Path) -> None:
    lines = [
        old_row(1, 1.0),
        '{"episode_reward_mean": 2.0, "trai',
        old_row(2, 2.0),
        old_row(2, 2.0),
        '["a", "list"]',
        {"unrelated": 1},
        old_row(4, 9.0),
        old_row(3, 3.0),
    ]
    write(tmp_path / "a", *lines)
    (trial,) = read(tmp_path).trials
    assert trial.rows["score"].tolist() == [1.0, 2.0, 3.0]
    assert trial.skipped == Skipped(broken=1, foreign=2, superseded=2)
    text = "\n".join(find(RunLayout(tmp_path)).cautions)
    assert "left out: 1 cut off or unreadable, 2 no result rows, 2 made again later, or twice" in text


def test_progress_csv_cut_off_in_the_middle_of_a_quoted_field(tmp_path: Path) -> None:
    """As in 2018: dictionaries of Python in the columns `config` and `info`."""
    folder = tmp_path / "A2C_Pong_0_lr=0.01_2018-10-11_12-13-14y"
    folder.mkdir()
    info = "\"{'learner': {'default': {'loss': 0.5, 'bad': None}}, 'num_steps_sampled': 5}\""
    config = "\"{'lr': 0.01, 'f': <function f>}\""
    header = "episode_reward_mean,timesteps_total,training_iteration,time_total_s,done,info,config"
    lines = [f"{10 * i}.5,{1000 * i},{i},{60.0 * i},False,{info},{config}" for i in (1, 2, 3)]
    cut = lines[2][: lines[2].index("'default'")]
    (folder / "progress.csv").write_text("\n".join([header, *lines[:2], cut]))
    (trial,) = read(tmp_path).trials
    assert trial.rows["score"].tolist() == [10.5, 20.5]
    assert trial.rows["learner/default/loss"].tolist() == [0.5, 0.5]
    assert trial.skipped == Skipped(broken=1)
    assert trial.record.status == "interrupted"
    assert trial.record.values == {}, "one trial sweeps nothing"


def test_a_result_json_without_a_row_gives_way_to_progress_csv(tmp_path: Path) -> None:
    write(tmp_path / "a", "", '{"half')
    (tmp_path / "a" / "progress.csv").write_text("episode_reward_mean,timesteps_total\nnan,100\n7.0,200\n")
    (trial,) = read(tmp_path).trials
    assert trial.rows["score"].tolist()[1:] == [7.0]


def test_nothing_to_read(tmp_path: Path) -> None:
    write(tmp_path / "a", "nonsense")
    with pytest.raises(RunError, match="no trial has a result row"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("text", "key", "most", "words"),
    [
        ("10M", "env_steps", 1e7, "after 10,000,000 env steps"),
        ("40M frames", "frames", 4e7, "after 40,000,000 frames"),
        ("90min", "seconds", 5400.0, "after 1h30m of training"),
    ],
)
def test_cuts(text: str, key: str, most: float, words: str) -> None:
    cut = parse_cut(text)
    assert (cut.key, cut.most) == (key, most)
    assert str(cut) == words


def test_a_cut_that_is_none() -> None:
    with pytest.raises(
        UsageError, match="--at ten: no point in a trial; allowed: 10M, 40M frames, 90min, 1h"
    ):
        parse_cut("ten")


def test_one_bad_line_costs_that_line_alone(tmp_path: Path) -> None:
    bad = old_row(2, 5.0) | {"episode_reward_mean": "oops"}
    loss = old_row(3, 7.0) | {"info": {"learner": {"default_policy": {"loss": "?"}}}}
    good = old_row(1, 4.0) | {"info": {"learner": {"default_policy": {"loss": 0.5}}}}
    write(tmp_path / "trial", good, bad, loss, {})
    [trial] = read(tmp_path).trials
    assert trial.rows["score"].tolist() == [4.0, 7.0]
    assert trial.rows["learner/loss"].iloc[0] == 0.5
    assert trial.skipped == Skipped(broken=1, foreign=1)


def test_a_key_without_a_number_gives_way_to_the_next(tmp_path: Path) -> None:
    rows = [
        {"timesteps_total": None, "num_env_steps_sampled": 100 * i, "episode_reward_mean": i} for i in (1, 2)
    ]
    write(tmp_path / "trial", *rows)
    assert read(tmp_path).trials[0].rows["env_steps"].tolist() == [100, 200]


def test_a_trial_without_a_row_stays_and_counts_as_missing(tmp_path: Path) -> None:
    write(tmp_path / "one", old_row(3, 5.0))
    write(tmp_path / "two", "{cut", "of")
    (tmp_path / "two" / "params.json").write_text(json.dumps(old_row(1, 1.0)["config"]))
    (tmp_path / "two" / "error.txt").write_text("ValueError: no luck\n")
    found = find(RunLayout(tmp_path))
    [only] = found.ranked
    assert (only.valid_seeds, [trial.status for trial in only.trials]) == (1, ["finished", "failed"])
    assert any("Some seeds have no valid value" in text for text in found.cautions)
    assert any("2 cut off or unreadable" in text for text in found.cautions)


def test_an_error_that_a_retry_overcame_is_none(tmp_path: Path) -> None:
    write(tmp_path / "trial", old_row(2, 5.0), old_row(3, 6.0))
    (tmp_path / "trial" / "error.txt").write_text("RayActorError: died\n")
    assert read(tmp_path).trials[0].record.status == "finished"


def test_settings_with_the_same_last_name_are_told_apart(tmp_path: Path) -> None:
    for name, config in {
        "a": {"adam": {"lr": 0.1}},
        "b": {"sgd": {"lr": 0.1}},
        "c": {"config": {"lr": 1}},
        "d": {"config": {"lr": 2}},
    }.items():
        write(tmp_path / name, {"episode_reward_mean": 1.0, "timesteps_total": 10, "done": True})
        (tmp_path / name / "params.json").write_text(json.dumps(config))
    assert sorted(trial.record.config_id for trial in read(tmp_path).trials) == [
        *("adam/lr=0.1", "config/lr=1", "config/lr=2", "sgd/lr=0.1")
    ]
