"""Runs as pandas tables, and the examples of the cookbook on them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import analysis
from rlsweep.errors import RunError, UsageError
from rlsweep.store.layout import Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord

ROOT = Path(__file__).parents[2]


def row(env_steps: int, score: float) -> dict[str, Any]:
    return {
        "score": score,
        "score_valid": True,
        "games": 5,
        "env_steps": env_steps,
        "seconds": env_steps / 100,
        "learner/entropy": 1 / score,
    }


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    layout = Storage(tmp_path).run("breakout_lr")
    records = []
    for lr, gain in ((0.00025, 2.0), (0.001, 1.0)):
        for seed in (0, 1):
            record = TrialRecord(f"{lr}-{seed}", f"lr={lr}", {"training.lr": lr}, seed, "", status="finished")
            records.append(record)
            layout.trial(record.id).mkdir(parents=True)
            rows = [row(steps, gain * steps / 1000 + seed) for steps in (50_000, 100_000, 150_000)]
            layout.result_json(record.id).write_text("".join(json.dumps(one) + "\n" for one in rows))
    spec = {"scheduler": {"type": "fifo"}}
    objective = Objective("score", "maximize")
    Manifest("breakout_lr", spec, "", "", "", [objective], "", "", {}, records).write(layout)
    return tmp_path


def test_three_tables(storage: Path) -> None:
    run = analysis.load("breakout_lr", storage=storage)
    assert run.configs["mean"].to_dict() == {"lr=0.00025": 300.5, "lr=0.001": 150.5}
    assert run.configs["training.lr"].to_list() == [0.00025, 0.001]
    assert len(run.rows) == 12
    assert list(run.rows.columns[:3]) == ["trial", "configuration", "seed"]
    assert run.trials.loc["0.001-1", ["score", "seed", "status"]].to_list() == [151.0, 1, "finished"]
    assert run.verdicts[0].startswith("`lr=0.00025` is better than `lr=0.001` by 150")


def test_as_they_stood_earlier(storage: Path) -> None:
    run = analysis.load("breakout_lr", storage=storage, at="100k")
    assert run.configs["mean"].to_list() == [200.5, 100.5]
    assert len(run.rows) == 8


def test_what_is_not_there(storage: Path) -> None:
    with pytest.raises(RunError, match="no run breakout in"):
        analysis.load("breakout", storage=storage)
    with pytest.raises(UsageError, match="no point in a trial"):
        analysis.load("breakout_lr", storage=storage, at="soon")
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        analysis.lode  # noqa: B018


def test_the_examples_of_the_cookbook_run(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLSWEEP_STORAGE", str(storage))
    text = (ROOT / "docs" / "cookbook" / "notebooks.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 4
    old = 'analysis.load("old/tune_experiment"'
    assert old in blocks[0]
    names: dict[str, Any] = {}
    for block in blocks:
        here = block.replace(old, f'analysis.load("{ROOT}/tests/data/tune_2020"')
        exec(here.replace("run = analysis.load", "other = run = analysis.load"), names)
        if block is blocks[0]:
            assert len(names["other"].trials) == 2
            names["run"] = analysis.load("breakout_lr")
