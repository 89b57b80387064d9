"""One configuration that plays several games: planned, named, compared and summarized as one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.comparison import compare
from analysis.findings import find
from analysis.history import read_run
from analysis.statistics import interquartile_mean
from rlsweep.plan import Machine, make
from rlsweep.run.manifest import new_manifest
from rlsweep.spec import Sweep
from rlsweep.store.layout import RunLayout, Storage

GAMES = ["ALE/Breakout-v5", "ALE/Pong-v5"]
MACHINE = Machine.of(2, 0)
SPEC = {
    "version": 1,
    "name": "games",
    "algorithm": "ppo",
    "env": {"id": GAMES[0]},
    "network": {"name": "nature_cnn"},
    "search": {
        "method": "grid",
        "parameters": {"env.id": {"values": GAMES}, "training.lr": {"values": [1e-4, 1e-3]}},
    },
    "seeds": 3,
    "objective": {"metric": "score", "goal": "maximize"},
    "stop": {"env_steps": 1000},
}


def write_run(storage: Path, gain: dict[str, float]) -> RunLayout:
    """Every trial ends at gain of its game times its learning rate in ten thousandths, plus its seed."""
    plan = make(Sweep.parse(SPEC), MACHINE)
    manifest, layout = new_manifest(plan), Storage(storage).run("games")
    for record in manifest.trials:
        record.status = "finished"
        layout.trial(record.id).mkdir(parents=True)
        value = gain[record.values["env.id"]] * record.values["training.lr"] * 1e4 + record.seed
        row = {"env_steps": 1000, "human_normalized": value, "score": 10 * value, "score_valid": True}
        layout.result_json(record.id).write_text(json.dumps(row) + "\n")
    manifest.write(layout)
    return layout


def test_trials_of_several_games_are_one_configuration(tmp_path: Path) -> None:
    layout = write_run(tmp_path, {GAMES[0]: 1.0, GAMES[1]: 3.0})
    run = read_run(layout)
    assert len({trial.record.id for trial in run.trials}) == 12
    assert {trial.record.label for trial in run.trials if trial.record.seed == 2} == {
        f"lr={lr} · {game} · seed 2" for lr in ("0.0001", "0.001") for game in ("Breakout", "Pong")
    }
    best, other = compare(run)
    assert (best.config_id, best.seeds_text) == ("lr=0.001", "6 trials of 2 games")
    assert best.games == ["Breakout", "Pong"]
    assert best.scores.tolist() == [[10, 30], [11, 31], [12, 32]], "a seed's line, a game's column"
    assert other.value == pytest.approx((1 + 2 + 3 + 3 + 4 + 5) / 6)


def test_what_a_report_says_of_several_games(tmp_path: Path) -> None:
    found = find(write_run(tmp_path, {GAMES[0]: 1.0, GAMES[1]: 3.0}))
    line = found.summary.iloc[0]
    assert line["iqm"] == pytest.approx(interquartile_mean(np.array([[10, 30], [11, 31], [12, 32]])))
    assert "env.id" not in found.summary
    assert line["mean_low"] == pytest.approx(21 - 4.303 / np.sqrt(3), abs=1e-3), "of the seeds' means"
    assert found.by_game == [
        ["configuration", "Breakout", "Pong"],
        ["lr=0.001", "11.00 (score 110.00)", "31.00 (score 310.00)"],
        ["lr=0.0001", "2.00 (score 20.00)", "4.00 (score 40.00)"],
    ]
    assert found.verdicts[0].startswith("`lr=0.001` is better than `lr=0.0001` by 18")


def test_a_game_that_lacks_a_value_ranks_back(tmp_path: Path) -> None:
    layout = write_run(tmp_path, {GAMES[0]: 1.0, GAMES[1]: 3.0})
    for path in layout.root.glob("*lr=0.001*seed1*/result.json"):
        path.write_text("")
    best, other = compare(read_run(layout))
    assert (best.config_id, other.seeds_text) == ("lr=0.0001", "4 of 6 trials of 2 games")
    assert other.scores.shape == (2, 2), "the seeds that both games have"
