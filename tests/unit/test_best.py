"""Which checkpoint stands for a configuration, and where its policy may be put."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlsweep.errors import RunError, UsageError
from rlsweep.run.export import best_of, export
from rlsweep.store.checkpoint import write_manifest
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord

SCORES = {("good", 0): [1, 9], ("good", 1): [7, 5], ("fair", 0): [4, 4], ("bad", 0): [2, 1]}
"""Configuration and seed -> score at 1,000 and at 2,000 env steps, each with a checkpoint."""


@pytest.fixture
def layout(tmp_path: Path) -> RunLayout:
    layout = Storage(tmp_path).run("r")
    records = []
    for (name, seed), scores in SCORES.items():
        record = TrialRecord(f"{name}-{seed}", name, {}, seed, "", status="finished")
        records.append(record)
        rows = [
            {"score": float(score), "score_valid": True, "env_steps": 1000 * step}
            for step, score in enumerate(scores, 1)
        ]
        layout.trial(record.id).mkdir(parents=True)
        layout.result_json(record.id).write_text("".join(json.dumps(row) + "\n" for row in rows))
        for number, row in enumerate(rows):
            folder = layout.trial(record.id) / f"checkpoint_{number:06}"
            (folder / "policy").mkdir(parents=True)
            (folder / "policy" / "policy.json").write_text("{}")
            write_manifest(folder, row)
    Manifest("r", {}, "", "", "", [Objective("score", "maximize")], "", "", {}, records).write(layout)
    return layout


def test_the_best_checkpoint_of_the_best_configuration(layout: RunLayout) -> None:
    (best,) = best_of(layout)
    assert (best.configuration.config_id, best.configuration.value) == ("good", 7.0)
    assert (best.checkpoint.trial_id, best.checkpoint.value) == ("good-0", 9.0)
    assert best.reason == "the highest score of 4 whole checkpoints"


def test_one_seed_a_moment_and_the_first_places(layout: RunLayout) -> None:
    (of_seed,) = best_of(layout, seed=1)
    assert (of_seed.checkpoint.trial_id, of_seed.checkpoint.value) == ("good-1", 7.0)
    (early,) = best_of(layout, seed=0, at_env_steps=1400)
    assert (early.checkpoint.env_steps, early.checkpoint.value) == (1000, 1.0)
    assert early.reason == "the nearest to 1,400 env steps of 2 whole checkpoints"
    assert [one.configuration.config_id for one in best_of(layout, top=2)] == ["good", "fair"]
    assert [one.configuration.config_id for one in best_of(layout, top=9)] == ["good", "fair", "bad"]
    assert [one.configuration.config_id for one in best_of(layout, top=3, seed=1)] == ["good"]


def test_a_checkpoint_that_is_not_whole_has_no_place(layout: RunLayout) -> None:
    (layout.trial("good-0") / "checkpoint_000001" / "MANIFEST.json").unlink()
    (layout.trial("good-1") / "checkpoint_000000" / "policy" / "policy.json").write_text("cut")
    (best,) = best_of(layout)
    assert (best.checkpoint.trial_id, best.checkpoint.env_steps) == ("good-1", 2000)
    for path in layout.root.glob("fair-0/checkpoint_*/MANIFEST.json"):
        path.unlink()
    assert [one.configuration.config_id for one in best_of(layout, top=3)] == ["good", "bad"]


def test_the_goal_decides_what_is_best(layout: RunLayout) -> None:
    manifest = Manifest.read(layout)
    manifest.objectives = [Objective("score", "minimize")]
    manifest.write(layout)
    found = [(one.configuration.config_id, one.checkpoint.value) for one in best_of(layout, top=3)]
    assert found == [("good", 1.0), ("bad", 1.0), ("fair", 4.0)], "two seeds before one"
    assert best_of(layout)[0].reason == "the lowest score of 4 whole checkpoints"


def test_what_is_not_there(layout: RunLayout) -> None:
    with pytest.raises(RunError, match="r has no seed 3; there are: 0, 1"):
        best_of(layout, seed=3)
    for path in layout.root.glob("*/checkpoint_*/MANIFEST.json"):
        path.unlink()
    with pytest.raises(RunError, match="no whole checkpoint in"):
        best_of(layout)


def test_a_folder_that_is_no_bundle_is_left_alone(layout: RunLayout, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("years of work")
    (best,) = best_of(layout)
    with pytest.raises(UsageError, match="is there and no policy bundle"):
        export(best.checkpoint, thesis)
    assert (thesis / "chapter.tex").read_text() == "years of work"
