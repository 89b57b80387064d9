"""What a second reading finds: only what is new, of the same file, and never anything wrong."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import own_rows
from analysis.own_rows import read_keys, read_rows
from analysis.reading import Skipped

KEYS = ("score", "score_valid", "training_iteration", "nowhere")


def read(path: Path, memory: Path) -> tuple[pd.DataFrame, Skipped]:
    [found] = read_keys([path], memory, KEYS)
    return found


def row(env_steps: int, score: float = 1.0) -> dict[str, Any]:
    return {"env_steps": env_steps, "score": score, "score_valid": True, "training_iteration": env_steps}


def lines(*rows: Any) -> str:
    return "".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in rows)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    path.write_text(lines(row(1), row(2, math.nan), "junk\n", row(3)))
    return path


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / ".read"


def test_only_what_is_new_is_read_again(history: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    parse = own_rows._parse
    monkeypatch.setattr(own_rows, "_parse", lambda data: (parsed.append(data), parse(data))[1])
    first = read(history, memory)
    assert first[1] == Skipped(broken=1)
    again = read(history, memory)
    pd.testing.assert_frame_equal(first[0], again[0])
    assert again[1] == first[1]
    with history.open("a") as stream:
        stream.write(lines(row(4), [1]))
    rows, skipped = read(history, memory)
    assert rows["env_steps"].tolist() == [1, 2, 3, 4]
    assert skipped == Skipped(broken=1, foreign=1)
    assert [len(data.splitlines()) for data in parsed] == [4, 2], "the second reading parsed nothing"
    pd.testing.assert_frame_equal(rows, read_rows(history)[0][list(rows)])


def test_half_a_line_is_told_and_read_once_it_is_whole(history: Path, memory: Path) -> None:
    text = json.dumps(row(4)) + "\n"
    with history.open("a") as stream:
        stream.write(text[:15])
    rows, skipped = read(history, memory)
    assert (len(rows), skipped.broken) == (3, 2)
    with history.open("a") as stream:
        stream.write(text[15:])
    rows, skipped = read(history, memory)
    assert (len(rows), skipped.broken) == (4, 1)


def test_a_retry_takes_remembered_rows_back(history: Path, memory: Path) -> None:
    read(history, memory)
    with history.open("a") as stream:
        stream.write(lines(row(2, 7.0), row(3, 8.0)))
    rows, skipped = read(history, memory)
    assert rows["score"].tolist() == [1.0, 7.0, 8.0]
    assert skipped.superseded == 2
    assert read(history, memory)[0]["score"].tolist() == [1.0, 7.0, 8.0]


@pytest.mark.parametrize("kind", ["shorter", "other", "deleted", "damaged"])
def test_another_file_or_a_damaged_memory_is_read_anew(history: Path, memory: Path, kind: str) -> None:
    read(history, memory)
    if kind == "shorter":
        history.write_text(lines(row(5)))
    elif kind == "other":
        history.write_text(lines(*(row(step) for step in range(10, 30))))
    elif kind == "deleted":
        shutil.rmtree(memory)
    else:
        [file] = memory.iterdir()
        file.write_bytes(b"ARROW1 nonsense")
    found, _ = read(history, memory)
    pd.testing.assert_frame_equal(found, read_rows(history)[0][list(found)])


def test_rows_with_other_keys_or_text_in_them(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    named = {**row(2), "curriculum/phase_name": "easy", "extra": 5}
    path.write_text(lines(row(1), named, {**row(3), "score": "much"}, {**row(4), "score": [1, 2]}))
    rows, skipped = read_rows(path)
    assert rows["env_steps"].tolist() == [1, 2]
    assert rows["extra"].tolist()[1] == 5
    assert skipped == Skipped(foreign=2)


def test_nowhere_to_remember(history: Path) -> None:
    rows, _ = read(history, Path("/proc/nowhere"))
    assert len(rows) == 3


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "junk\n",
        "[1]\n",
        json.dumps({**row(9), "score": "much"}) + "\n",
        json.dumps({"env_steps": 9}) + "\n",
        json.dumps({**row(9), "score": None}) + "\n",
        json.dumps(row(2, 5.0)) + "\n",
        json.dumps(row(9))[:20],
    ],
)
def test_a_scan_finds_what_looking_at_each_line_finds(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.json" for number in range(3)]
    for number, path in enumerate(paths):
        rows = (row(step, step / 7 if step > 1 else math.nan) for step in range(1, 6 + number))
        path.write_text(lines(*rows))
    with paths[1].open("a") as stream:
        stream.write(damage)
    (tmp_path / "empty.json").write_text("")
    paths += [tmp_path / "empty.json", tmp_path / "missing.json"]

    def found(limit: int) -> list[tuple[pd.DataFrame, Skipped]]:
        monkeypatch.setattr(own_rows, "SCANNED_BYTES", limit)
        return read_keys(paths, tmp_path / f"{limit}", KEYS)

    scanned, looked = found(0), found(10**9)
    for (table, skipped), (expected, expected_skipped) in zip(scanned, looked, strict=True):
        pd.testing.assert_frame_equal(table, expected)
        assert skipped == expected_skipped
    again = found(0)
    for (table, skipped), (expected, expected_skipped) in zip(again, scanned, strict=True):
        pd.testing.assert_frame_equal(table, expected)
        assert skipped == expected_skipped


def test_files_with_columns_of_their_own_are_remembered_as_they_are(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.json" for number in range(3)]
    paths[0].write_text(lines(row(1), row(2)))
    paths[1].write_text(lines({"env_steps": 5, "score": 1.5}))
    paths[2].write_text(lines({**row(7), "score": 3}))
    first = read_keys(paths, tmp_path / "memory", KEYS)
    again = read_keys(paths[::-1], tmp_path / "memory", KEYS)[::-1]
    for (table, _), (remembered, _) in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(table, remembered)
    assert [list(table) for table, _ in again] == [
        ["env_steps", "score", "score_valid", "training_iteration"],
        ["env_steps", "score"],
        ["env_steps", "score", "score_valid", "training_iteration"],
    ]
    assert len(list((tmp_path / "memory").iterdir())) == 3
