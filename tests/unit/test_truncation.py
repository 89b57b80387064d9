"""State files that are cut off at every byte: what is whole is read, nothing else is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.own_rows import read_rows
from analysis.reading import read_csv
from rlsweep.errors import RunError
from rlsweep.run.signs_of_life import Owner
from rlsweep.store.checkpoint import newest_whole, read_row, verify, write_manifest
from rlsweep.store.failures import Failure, read_failures
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import Manifest, Objective, TrialRecord
from rlsweep.store.symptoms import Symptom, read_symptoms

ROWS = [
    {"env_steps": steps, "training_iteration": index + 1, "score": score, "score_valid": True}
    for index, (steps, score) in enumerate([(256, 9.5), (512, float("nan")), (768, 21.0)])
]
LINES = [json.dumps(row) + "\n" for row in ROWS]


def cuts(whole: bytes) -> range:
    return range(len(whole) + 1)


def test_a_history_loses_only_the_row_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / RunLayout.RESULT_JSON
    whole = "".join(LINES).encode()
    ends = [len("".join(LINES[: index + 1])) for index in range(len(LINES))]
    for cut in cuts(whole):
        path.write_bytes(whole[:cut])
        rows, skipped = read_rows(path)
        complete = sum(end - 1 <= cut for end in ends)  # the line feed is no part of a row
        found = rows["env_steps"].tolist() if len(rows) else []
        assert found == [row["env_steps"] for row in ROWS[:complete]], f"cut at byte {cut}"
        assert skipped.broken == (cut not in (0, *ends, *(end - 1 for end in ends)))


def test_a_table_loses_only_the_row_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / RunLayout.PROGRESS_CSV
    whole = b"env_steps,score\r\n256,9.5\r\n512,21.25\r\n"
    for cut in cuts(whole):
        path.write_bytes(whole[:cut])
        rows, _ = read_csv(path)
        assert [row["env_steps"] for row in rows] in ([], [256], [256, 512], [256, 5], [256, 51])
        assert len(rows) <= 2


def test_failures_lose_only_the_line_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / RunLayout.FAILURES_JSON
    one = Failure("storage", "OSError: full", 1.0, 256)
    whole = (one.line() * 2).encode()
    for cut in cuts(whole):
        path.write_bytes(whole[:cut])
        found = read_failures(tmp_path)
        assert found == [one] * len(found)
        assert len(found) == (cut + 1) // len(one.line())


def test_a_diagnosis_loses_only_the_line_that_is_cut(tmp_path: Path) -> None:
    one = Symptom("dead_policy", "one action alone", "raise the entropy")
    whole = (one.line() * 2).encode()
    for cut in cuts(whole):
        (tmp_path / RunLayout.DIAGNOSIS_JSON).write_bytes(whole[:cut])
        assert read_symptoms(tmp_path) == [one] * ((cut + 1) // len(one.line()))


def test_a_seal_that_is_cut_is_none(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"1234567890")
    write_manifest(tmp_path, {"env_steps": 256})
    path = tmp_path / RunLayout.CHECKPOINT_MANIFEST
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(RunError, match="is no whole checkpoint"):
            read_row(tmp_path)
    path.write_bytes(whole)
    for cut in range(10):
        (tmp_path / "weights").write_bytes(b"1234567890"[:cut])
        with pytest.raises(RunError, match="is damaged"):
            verify(tmp_path)


def test_what_comes_before_a_checkpoint_that_is_cut_counts(tmp_path: Path) -> None:
    names = ("checkpoint_1-000003", "checkpoint_000000", "checkpoint_000001")
    folders = [tmp_path / "a" / name for name in names]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(b"1234567890")
        write_manifest(folder, {"env_steps": 256})
    for newest in reversed(range(3)):
        assert newest_whole(folders[2]) == folders[newest]
        (folders[newest] / "weights").write_bytes(b"12345")
    with pytest.raises(RunError, match="checkpoint_000001 is damaged"):
        newest_whole(folders[2])


def test_an_owner_that_is_cut_is_nobody(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path)
    whole = json.dumps(vars(Owner("ada", "here", 1, 2.0))).encode()
    for cut in range(len(whole)):
        layout.owner.write_bytes(whole[:cut])
        assert Owner.read(layout.owner) is None


@pytest.fixture
def manifest() -> Callable[[str], Manifest]:
    def make(status: str) -> Manifest:
        records = [TrialRecord("a", "a", {"training.lr": 0.1}, 0, "hash", status=status)]
        return Manifest("x", {}, "", "", "", [Objective("score", "maximize")], "", "", {}, records)

    return make


def test_a_manifest_that_is_cut_is_the_one_before(
    manifest: Callable[[str], Manifest], tmp_path: Path
) -> None:
    layout = RunLayout(tmp_path)
    manifest("running").write(layout)
    manifest("finished").write(layout)
    whole = layout.manifest.read_bytes()
    for cut in range(len(whole)):
        layout.manifest.write_bytes(whole[:cut])
        expected = "running" if cut < len(whole.rstrip()) else "finished"
        assert Manifest.read(layout).trials[0].status == expected
    layout.manifest.write_bytes(whole[:10])
    layout.manifest_before.write_bytes(whole[:10])
    layout.manifest.with_suffix(".partial").write_bytes(whole)
    assert Manifest.read(layout).trials[0].status == "finished", "killed while a damaged one was replaced"
    layout.manifest.with_suffix(".partial").unlink()
    with pytest.raises(RunError, match="cannot be read"):
        Manifest.read(layout)
    layout.manifest.unlink()
    with pytest.raises(RunError, match="is missing"):
        Manifest.read(layout)
