"""Checkpoints that an interrupted trial leaves: set aside, thinned, and the newest taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlsweep.errors import UsageError
from rlsweep.run.going_on import rewind, thin, tune_config
from rlsweep.store.checkpoint import PROGRESS, write_manifest
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import CHECKPOINT, TRIAL, Manifest, Objective, TrialRecord

SCORE = Objective("score", "maximize")


@pytest.fixture
def layout(tmp_path: Path) -> RunLayout:
    return RunLayout(tmp_path)


def save(
    layout: RunLayout,
    name: str,
    env_steps: int,
    score: float,
    *,
    valid: bool = True,
    values: dict[str, float] | None = None,
) -> Path:
    folder = layout.trial("t") / name
    folder.mkdir(parents=True)
    (folder / "weights").write_text(name)
    (folder / PROGRESS).write_text(json.dumps({"values": values or {"training.lr": 1.0}}))
    write_manifest(folder, {"env_steps": env_steps, "score": score, "score_valid": valid})
    return folder


def names(layout: RunLayout) -> list[str]:
    return [path.name for path in layout.checkpoint_folders("t")]


def begin(layout: RunLayout, keep: int = 2) -> str | None:
    record = TrialRecord("t", "lr=1", {"training.lr": 1.0}, 3, "h")
    config = tune_config(record, layout, SCORE, keep)[TRIAL]
    assert (config["id"], config["seed"]) == ("t", 3)
    path = config.get(CHECKPOINT)
    return Path(path).name if path else None


def test_a_trial_that_never_ran_begins(layout: RunLayout) -> None:
    assert begin(layout) is None


def test_the_newest_whole_one_is_taken_and_names_become_free(layout: RunLayout) -> None:
    for index, score in enumerate([5.0, 9.0, 1.0]):
        save(layout, f"checkpoint_00000{index}", 100 * index, score)
    (layout.trial("t") / "checkpoint_000003").mkdir()
    (layout.trial("t") / "checkpoint_000003" / "weights").write_text("half")
    damaged = save(layout, "checkpoint_000004", 400, 99.0)
    (damaged / "weights").write_text("other")
    assert begin(layout) == "checkpoint_1-000002"
    assert names(layout) == ["checkpoint_1-000000", "checkpoint_1-000001", "checkpoint_1-000002"]
    save(layout, "checkpoint_000000", 300, 2.0)
    assert begin(layout) == "checkpoint_2-000000"
    assert names(layout) == ["checkpoint_1-000000", "checkpoint_1-000001", "checkpoint_2-000000"]


def test_thinning_never_takes_the_best_or_the_newest(layout: RunLayout) -> None:
    save(layout, "checkpoint_000000", 100, 9.0)
    save(layout, "checkpoint_000001", 200, 90.0, valid=False)
    save(layout, "checkpoint_000002", 300, 5.0)
    save(layout, "checkpoint_000003", 400, 1.0)
    kept = thin(layout, "t", SCORE, 1)
    assert [one.path.name for one in kept] == ["checkpoint_000000", "checkpoint_000003"]
    assert [one.path.name for one in thin(layout, "t", Objective("score", "minimize"), 1)] == names(layout)[
        -1:
    ]


def test_a_member_of_a_population_goes_on_with_what_it_took_over(layout: RunLayout) -> None:
    save(layout, "checkpoint_000000", 5000, 1.0)
    taken_over = save(layout, "checkpoint_000001", 1000, 1.0, values={"training.lr": 2.0})
    record = TrialRecord("t", "lr=1", {"training.lr": 1.0}, 0, "h")
    config = tune_config(record, layout, SCORE, 2)[TRIAL]
    assert config["values"] == {"training.lr": 2.0}
    assert Path(config[CHECKPOINT]).name == "checkpoint_1-000001", "by age, not by env steps"
    assert not taken_over.exists()


def test_a_trial_is_set_back_to_the_nearest_checkpoint(layout: RunLayout) -> None:
    for index, env_steps in enumerate([1000, 2000, 3000]):
        save(layout, f"checkpoint_00000{index}", env_steps, 1.0)
    records = [TrialRecord("t", "lr=1", {}, 0, "h", status="finished"), TrialRecord("u", "lr=2", {}, 0, "h")]
    Manifest("r", {}, "", "", "", [SCORE], "", "", {}, records).write(layout)
    with pytest.raises(UsageError, match="no trial 'tt' has begun; did you mean 't'"):
        rewind(layout, ["tt"], 1900)
    assert rewind(layout, [], 1900) == {"t": 2000}
    assert names(layout) == ["checkpoint_000000", "checkpoint_000001"]
    assert len(list(layout.superseded.iterdir())) == 1, "nothing is lost"
    assert [record.status for record in Manifest.read(layout).trials] == ["interrupted", "pending"]
    assert begin(layout) == "checkpoint_1-000001"
