"""Two machines with one storage behind a URI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlsweep.errors import PreflightError, RunError
from rlsweep.run.fork import copy as copy_trial
from rlsweep.run.going_on import thin, tune_config
from rlsweep.run.lock import locked
from rlsweep.run.signs_of_life import Owner
from rlsweep.store.checkpoint import PROGRESS, verify, write_manifest
from rlsweep.store.folders import fetch
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import CHECKPOINT, TRIAL, Objective, TrialRecord
from rlsweep.store.mirror import bring, mirrored, send
from rlsweep.store.remote import Remote

SCORE = Objective("score", "maximize")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


@pytest.fixture
def layout(there: Path, tmp_path: Path) -> RunLayout:
    return machine("one", there, tmp_path)


@pytest.fixture
def elsewhere(there: Path, tmp_path: Path) -> RunLayout:
    return machine("two", there, tmp_path)


def machine(name: str, there: Path, tmp_path: Path) -> RunLayout:
    return Storage(tmp_path / name, Remote.open(f"file://{there}")).run("sweep")


def write_rows(layout: RunLayout, *env_steps: int) -> None:
    history = layout.result_json("t")
    history.parent.mkdir(parents=True, exist_ok=True)
    with history.open("a") as stream:
        stream.writelines(json.dumps({"env_steps": steps}) + "\n" for steps in env_steps)


def rows(layout: RunLayout) -> list[int]:
    return [json.loads(line)["env_steps"] for line in layout.result_json("t").read_text().splitlines()]


def save(there: Path, name: str, env_steps: int, score: float = 1.0) -> Path:
    """What a trial's machine sends to the storage."""
    folder = there / "sweep" / "t" / name
    folder.mkdir(parents=True)
    (folder / "weights").write_text(name)
    (folder / PROGRESS).write_text("{}")
    write_manifest(folder, {"env_steps": env_steps, "score": score, "score_valid": True})
    return folder


def write(layout: RunLayout, *env_steps: int, manifest: str = "{}") -> None:
    layout.root.mkdir(parents=True, exist_ok=True)
    with mirrored(layout):
        write_rows(layout, *env_steps)
        layout.manifest.write_text(manifest)


def test_what_one_machine_writes_another_reads(layout: RunLayout, elsewhere: RunLayout) -> None:
    write(layout, 1, 2)
    bring(elsewhere)
    assert rows(elsewhere) == [1, 2]
    assert elsewhere.manifest.read_text() == "{}"
    write(layout, 3, manifest='{"a": 1}')
    bring(elsewhere)
    assert rows(elsewhere) == [1, 2, 3]
    assert elsewhere.manifest.read_text() == '{"a": 1}'
    layout.result_json("t").with_name(RunLayout.ERROR_TXT).write_text("trace")
    write(layout)
    layout.result_json("t").with_name(RunLayout.ERROR_TXT).unlink()
    bring(elsewhere)
    assert elsewhere.trial("t").joinpath(RunLayout.ERROR_TXT).exists()
    write(layout)
    bring(elsewhere)
    assert not elsewhere.trial("t").joinpath(RunLayout.ERROR_TXT).exists(), "what is deleted is gone for all"


def test_locks_and_what_tune_keeps_stay_where_they_are(layout: RunLayout, there: Path) -> None:
    write(layout, 1)
    for name in (".lock", "tuner.pkl", "t/result.partial", "superseded/t/result.json", "report/page.partial"):
        (layout.root / name).parent.mkdir(parents=True, exist_ok=True)
        (layout.root / name).write_text("x")
    (layout.root / "report" / "index.html").write_text("page")
    write(layout)
    sent = {str(path.relative_to(there / "sweep")) for path in there.rglob("*") if path.is_file()}
    assert sent == {".writer", "sweep.json", "t/result.json", "report/index.html"}


def test_a_machine_that_died_before_it_had_sent_all_loses_nothing(layout: RunLayout) -> None:
    write(layout, 1, 2)
    write_rows(layout, 3)  # killed: neither sent nor noted
    write(layout, 4)
    assert rows(layout) == [1, 2, 3, 4]
    bring(layout)
    assert rows(layout) == [1, 2, 3, 4]


def test_a_machine_that_died_while_it_noted_what_it_had_sent(layout: RunLayout, elsewhere: RunLayout) -> None:
    write(layout, 1, 2)
    noted = layout.sent.read_text()
    write(layout, 3)
    layout.sent.write_text(noted)
    write(layout, 4)
    bring(elsewhere)
    assert rows(elsewhere) == rows(layout) == [1, 2, 3, 4]


def test_who_went_on_elsewhere_counts_and_nothing_is_thrown_away(
    layout: RunLayout, elsewhere: RunLayout, caplog: pytest.LogCaptureFixture
) -> None:
    write(layout, 1, 2)
    write_rows(layout, 3)  # cut off from the storage, and dead
    write(elsewhere, 30)
    write(layout, 40)
    assert rows(layout) == [1, 2, 30, 40]
    (aside,) = layout.superseded.iterdir()
    assert [json.loads(line)["env_steps"] for line in aside.read_text().splitlines()] == [1, 2, 3]
    assert "another machine has gone on" in caplog.text


def test_a_reader_sends_its_report_and_no_state(layout: RunLayout, elsewhere: RunLayout, there: Path) -> None:
    write(layout, 1)
    bring(elsewhere)
    elsewhere.report.mkdir()
    (elsewhere.report / "index.html").write_text("page")
    write_rows(elsewhere, 99)
    send(elsewhere)
    assert (there / "sweep" / "report" / "index.html").read_text() == "page"
    bring(elsewhere)
    assert (there / "sweep" / "t" / "result.json").read_text() == layout.result_json("t").read_text()


def test_checkpoints_are_laid_out_and_fetched_when_needed(layout: RunLayout, there: Path) -> None:
    write(layout, 1, 2)
    save(there, "checkpoint_000000", 1)
    save(there, "checkpoint_000001", 2)
    half = save(there, "checkpoint_000002", 2)
    (half / "weights").write_text("")
    (there / "sweep" / "t" / "checkpoint_000003").mkdir()
    (there / "sweep" / "t" / "checkpoint_000003" / "weights").write_text("begun")
    save(there, "checkpoint_000004", 3)  # its row was not sent
    bring(layout)
    assert [path.name for path in layout.checkpoint_folders("t")] == [
        f"checkpoint_00000{i}" for i in range(5)
    ]
    whole = layout.checkpoints("t")
    assert [path.name for path in whole] == ["checkpoint_000000", "checkpoint_000001"]
    assert not (whole[1] / "weights").exists()
    with pytest.raises(RunError, match="weights is missing"):
        verify(whole[1])
    fetch(layout, whole[1])
    verify(whole[1])
    bring(layout)
    verify(whole[1])


def test_a_trial_goes_on_from_the_storage(layout: RunLayout, there: Path) -> None:
    write(layout, 100, 200, 300)
    for index, score in enumerate([9.0, 5.0, 1.0]):
        save(there, f"checkpoint_00000{index}", 100 * (index + 1), score)
    save(there, "checkpoint_000003", 400)
    bring(layout)
    config = tune_config(TrialRecord("t", "lr=1", {}, 3, "h"), layout, SCORE, keep=1)[TRIAL]
    assert config[CHECKPOINT] == f"file://{there}/sweep/t/checkpoint_1-000002"
    names = ["checkpoint_1-000000", "checkpoint_1-000002"]
    assert sorted(path.name for path in (there / "sweep" / "t").glob("checkpoint_*")) == names
    assert [path.name for path in layout.checkpoints("t")] == names
    save(there, "checkpoint_000000", 300, 99.0)
    assert [one.path.name for one in thin(layout, "t", SCORE, keep=1)] == ["checkpoint_000000"], (
        "it looks there"
    )


def test_forks_and_trials_set_back_move_what_is_there(layout: RunLayout, there: Path, tmp_path: Path) -> None:
    record = TrialRecord("t", "lr=1", {}, 3, "h", status="finished")
    write(layout, 100, 200)
    save(there, "checkpoint_000000", 100)
    save(there, "checkpoint_000001", 200)
    bring(layout)
    target = Storage(tmp_path / "one", Remote.open(f"file://{there}")).run("fork")
    copy_trial(layout, target, record.id)
    assert (there / "fork" / "t" / "checkpoint_000001" / "weights").read_text() == "checkpoint_000001"
    assert len(target.checkpoints("t")) == 2


def test_two_machines_do_not_write_at_once(
    layout: RunLayout, elsewhere: RunLayout, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlsweep.run.signs_of_life.SETTLING_SECONDS", 0.0)
    for one in (layout, elsewhere):
        one.root.mkdir(parents=True)
    owner = there / "sweep" / ".owner.json"
    with locked(layout):
        found = Owner.read(owner)
        assert found is not None
        monkeypatch.setattr("platform.node", lambda: "another-machine")
        message = rf"{there}/sweep is in use by process {found.pid} of"
        with pytest.raises(PreflightError, match=message), locked(elsewhere):
            pass
        monkeypatch.undo()
        assert owner.exists()
    assert not owner.exists()
    with locked(elsewhere):
        pass
