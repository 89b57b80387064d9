from __future__ import annotations

import math
from pathlib import Path

import pytest

from rlsweep.errors import RunError
from rlsweep.run.progress import Progress, update
from rlsweep.run.rows import result_row
from rlsweep.spec import load
from rlsweep.store import rows
from rlsweep.store.checkpoint import read_row, verify, write_manifest
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint_000001"
    (folder / "algorithm").mkdir(parents=True)
    (folder / "algorithm" / "state.pkl").write_bytes(b"state")
    (folder / "progress.json").write_text("{}")
    write_manifest(folder, {"score": 3.5, "env_steps": 10})
    return folder


def test_a_sealed_checkpoint_is_whole(checkpoint: Path) -> None:
    verify(checkpoint)
    assert read_row(checkpoint) == {"score": 3.5, "env_steps": 10}


def test_a_changed_a_missing_and_an_unsealed_checkpoint_are_not(checkpoint: Path) -> None:
    state = checkpoint / "algorithm" / "state.pkl"
    state.write_bytes(b"statf")
    with pytest.raises(RunError, match=r"state\.pkl is not as it was written"):
        verify(checkpoint)
    state.unlink()
    with pytest.raises(RunError, match=r"state\.pkl is missing"):
        verify(checkpoint)
    (checkpoint / RunLayout.CHECKPOINT_MANIFEST).unlink()
    with pytest.raises(RunError, match="no whole checkpoint"):
        verify(checkpoint)


def test_the_layout_lists_whole_checkpoints_only(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint_000002").mkdir()
    layout = RunLayout(tmp_path.parent)
    assert layout.checkpoints(tmp_path.name) == [checkpoint]


def test_a_manifest_reads_back_as_written(tmp_path: Path) -> None:
    layout = Storage(tmp_path).run("t")
    record = TrialRecord("a_seed0_1", "a", {"training.lr": 1e-3}, 0, "h", "w", "search", "finished", "r")
    manifest = Manifest(
        "t",
        {"name": "t"},
        "h",
        "h",
        "smoke",
        [Objective("score", "maximize", "iqm"), Objective("env_steps_to/200", "minimize", threshold=200.0)],
        "now",
        "c",
        {"ray": "2"},
        [record],
        "a machine",
        {"tracking_uri": "x"},
    )
    manifest.write(layout)
    assert Manifest.read(layout) == manifest


@pytest.mark.parametrize(
    "content", ["{", "[]", "3", "{}", '{"format": 2}', '{"format": 2, "trials": [1]}', '{"format": 99}']
)
def test_a_broken_manifest_is_refused(tmp_path: Path, content: str) -> None:
    layout = Storage(tmp_path).run("t")
    layout.root.mkdir()
    layout.manifest.write_text(content)
    with pytest.raises(RunError, match=r"cannot be read|has format 99"):
        Manifest.read(layout)


@pytest.mark.parametrize("content", ["{", "[]", '{"row": []}', '{"row": {}, "files": [1]}', '{"files": {}}'])
def test_a_broken_checkpoint_manifest_is_refused(checkpoint: Path, content: str) -> None:
    (checkpoint / RunLayout.CHECKPOINT_MANIFEST).write_text(content)
    with pytest.raises(RunError, match="no whole checkpoint"):
        read_row(checkpoint)


ROOT = Path(__file__).parents[2]


SWEEP = load("breakout_lr.yaml", root=ROOT).sweep


def row_of(progress: Progress, result: dict[str, object]) -> dict[str, object]:
    return result_row(
        SWEEP,
        progress,
        result,
        parallel_games=2,
        new_env_steps=100,
        seconds=2.0,
    )  # type: ignore[return-value]


def test_rows_have_the_same_keys_before_anything_is_known_and_after() -> None:
    progress = Progress()
    first = row_of(progress, {})
    assert math.isnan(first["score"])  # type: ignore[arg-type]
    assert first["score_valid"] is False
    update(
        progress,
        SWEEP,
        {
            "env_runners": {
                "num_env_steps_sampled_lifetime": 100,
                "game_scores": [1.0, 4.0],
                "game_env_steps": [10, 30],
                "game_lives_lost": [5, 4],
            }
        },
        seconds=2.0,
        parallel_games=2,
    )
    learner = dict.fromkeys(rows.LEARNER_METRICS["ppo"].values(), 0.5)
    second = row_of(progress, {"learners": {"default_policy": learner}})
    assert list(first) == list(second)
    assert second["score"] == 2.5
    assert second["score_std"] == 1.5
    assert second["score_valid"] is True
    assert second["frames"] == 400
    assert second["steps_per_second"] == 50
    assert second["game_env_steps"] == 20
    assert second["game_frames"] == 80
    assert second["lives_lost"] == 4.5
    assert (second["score_median"], second["score_best"]) == (2.5, 4.0)
    assert second["learner/entropy"] == 0.5


def test_the_score_is_of_the_last_hundred_games() -> None:
    progress = Progress()
    progress.add_games([0.0] * 50, [1] * 50, [0] * 50)
    progress.add_games([1.0] * 80, [1] * 80, [0] * 80)
    assert row_of(progress, {})["score"] == pytest.approx(0.8)
    assert progress.games == 130


def test_progress_survives_json() -> None:
    progress = Progress(env_steps=7, seconds=1.5)
    progress.add_games([1.0, 2.0], [3, 4], [5, 5])
    again = Progress.from_json(progress.to_json())
    assert (again.env_steps, again.seconds, again.games) == (7, 1.5, 2)
    assert again.window_scores == progress.window_scores
    assert again.window_scores.maxlen == progress.window_scores.maxlen
