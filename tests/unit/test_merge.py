"""Runs compared with each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.findings import find_together
from rlsweep.errors import UsageError
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord


def write(tmp_path: Path, name: str, gain: float, key: str = "score") -> RunLayout:
    layout = Storage(tmp_path).run(name)
    records = [
        TrialRecord(f"lr=1-{seed}", "lr=1", {"training.lr": 1}, seed, "", status="finished")
        for seed in (0, 1)
    ]
    Manifest(name, {}, "", "", "", [Objective(key, "maximize")], "", "", {}, records).write(layout)
    for record in records:
        layout.trial(record.id).mkdir()
        rows = [{"env_steps": step, key: gain * step + record.seed, "score_valid": True} for step in (1, 2)]
        layout.result_json(record.id).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return layout


def test_configurations_are_called_by_their_runs(tmp_path: Path) -> None:
    found = find_together([write(tmp_path, "small", 1), write(tmp_path, "big", 10)])
    assert [(one.config_id, one.value) for one in found.ranked] == [("big: lr=1", 20.5), ("small: lr=1", 2.5)]
    assert found.verdicts[0].startswith("`big: lr=1` is better than `small: lr=1` by 18")
    assert found.summary["run"].tolist() == ["big", "small"]
    assert found.run.manifest.name == "small and big"


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    small, other = write(tmp_path, "small", 1), write(tmp_path, "other", 1, "seconds")
    with pytest.raises(
        UsageError, match="judged by: maximize score, mean over seeds; other by: maximize seconds"
    ):
        find_together([small, other])
    with pytest.raises(UsageError, match="a run stands twice"):
        find_together([small, small])


def test_what_one_run_swept_is_looked_up_in_the_spec_of_the_other(tmp_path: Path) -> None:
    small, other = write(tmp_path, "small", 1), write(tmp_path, "other", 10)
    manifest = Manifest.read(other)
    manifest.spec = {"training": {"lr": 3, "num_epochs": 4}}
    manifest.trials = [replace(record, values={"network.name": "mlp"}) for record in manifest.trials]
    manifest.write(other)
    values = {trial.record.id: trial.record.values for trial in find_together([small, other]).run.trials}
    assert values["other/lr=1-0"] == {"run": "other", "training.lr": 3, "network.name": "mlp"}
    assert values["small/lr=1-0"] == {"run": "small", "training.lr": 1}, "its spec says nothing of a network"
