"""Two machines with one storage behind a URI."""

from __future__ import annotations

import errno
import json
import shutil
import time
from pathlib import Path

import pytest
from object_store import BUCKET, object_store
from pyarrow.fs import copy_files
from waiting import wait_until

from rlsweep.errors import PreflightError, RunError
from rlsweep.run.fork import copy as copy_trial
from rlsweep.run.going_on import thin, tune_config
from rlsweep.run.lock import locked
from rlsweep.run.restoring import whole_checkpoint
from rlsweep.run.signs_of_life import Owner
from rlsweep.store.checkpoint import PROGRESS, verify, write_manifest
from rlsweep.store.folders import fetch
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import CHECKPOINT, TRIAL, Objective, TrialRecord
from rlsweep.store.mirror import bring, mirrored, send
from rlsweep.store.remote import Remote
from rlsweep.store.remote_checkpoints import refresh_checkpoints
from rlsweep.store.working_copy import WorkingCopy

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


def save(there: Path, name: str, env_steps: int, score: float = 1.0, **row: float) -> Path:
    """What a trial's machine sends to the storage."""
    folder = there / "sweep" / "t" / name
    folder.mkdir(parents=True)
    (folder / "weights").write_text(name)
    (folder / PROGRESS).write_text("{}")
    write_manifest(folder, {"env_steps": env_steps, "score": score, "score_valid": True, **row})
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


def test_what_is_missing_here_is_fetched_and_nothing_is_deleted_there(layout: RunLayout, there: Path) -> None:
    write(layout, 1, 2)
    save(there, "checkpoint_000000", 2)
    sent = {path: path.read_bytes() for path in there.rglob("*.json") if path.name != ".writer"}
    layout.result_json("t").unlink()
    layout.manifest.unlink()
    bring(layout)
    assert rows(layout) == [1, 2]
    for path in [*layout.trial("t").rglob("*"), layout.manifest]:
        if path.is_file():
            path.unlink()
    write(layout)
    assert rows(layout) == [1, 2]
    assert len(layout.checkpoints("t")) == 1
    assert {path: path.read_bytes() for path in sent} == sent


def test_a_storage_that_has_lost_a_run_takes_nothing_with_it(layout: RunLayout, there: Path) -> None:
    write(layout, 1, 2)
    write_rows(layout, 3)
    there.rename(there.with_name("moved"))
    with pytest.raises(RunError, match="has nothing of this run any more"):
        bring(layout)
    assert rows(layout) == [1, 2, 3]


def test_a_working_copy_that_was_put_back_is_not_the_newest(layout: RunLayout, there: Path) -> None:
    write(layout, 100)
    shutil.copytree(layout.root, layout.root.with_name("backup"))
    write(layout, 200, 300)
    save(there, "checkpoint_000000", 300)
    shutil.rmtree(layout.root)
    layout.root.with_name("backup").rename(layout.root)
    write(layout, 400)
    assert rows(layout) == [100, 200, 300, 400]
    assert len(layout.checkpoints("t")) == 1


def test_a_storage_that_is_away_as_a_sweep_begins_takes_no_rows_away(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlsweep.store.mirror.WAIT_SECONDS", 0.0)
    write(layout, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Remote, "write", away)
        with pytest.raises(RunError, match="does not have all of"):
            write(layout, 2)
    write(layout, 3)
    assert rows(layout) == [1, 2, 3]
    assert not layout.superseded.exists()


def away(remote: Remote, _: str, __: bytes) -> None:
    raise RunError(f"{remote.uri}: nobody answers")


def test_who_only_looks_takes_nothing_over(layout: RunLayout, elsewhere: RunLayout) -> None:
    write(layout, 1, 2)
    write_rows(layout, 3)  # killed
    with mirrored(elsewhere):
        assert rows(elsewhere) == [1, 2], (
            "it looked, and began nothing: refused, or another run began from it"
        )
    write(layout, 4)
    assert rows(layout) == [1, 2, 3, 4]


def test_a_row_of_another_attempt_is_not_that_of_a_checkpoint(layout: RunLayout, there: Path) -> None:
    write(layout, 100, 200)
    save(there, "checkpoint_000000", 100)
    save(there, "checkpoint_000001", 200, seconds=7.0)  # made again, and not sent
    bring(layout)
    assert [path.name for path in layout.checkpoints("t")] == ["checkpoint_000000"]


def test_sending_goes_on_after_a_full_disk_and_skips_what_has_gone(
    layout: RunLayout, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlsweep.store.mirror.SEND_SECONDS", 0.05)
    layout.root.mkdir(parents=True)
    with mirrored(layout):
        write_rows(layout, 1)
        with monkeypatch.context() as patch:
            patch.setattr(WorkingCopy, "push", full_disk)
            time.sleep(0.3)
        write_rows(layout, 2)
        (layout.trial("t") / RunLayout.ERROR_TXT).symlink_to(layout.root / "nothing")
        sent = there / "sweep" / "t" / "result.json"
        wait_until(lambda: sent.exists() and sent.read_text() == layout.result_json("t").read_text())


def full_disk(_: WorkingCopy, **__: bool) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


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
    refresh_checkpoints(layout, "t")
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
        monkeypatch.setattr("rlsweep.run.signs_of_life._system", lambda: "another machine of that name")
        message = rf"{there}/sweep is in use by process {found.pid} of"
        with pytest.raises(PreflightError, match=message), locked(elsewhere):
            pass
        monkeypatch.undo()
        assert owner.exists()
    assert not owner.exists()
    with locked(elsewhere):
        pass


@pytest.mark.parametrize("place", ["s3", "folder"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    place: str, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [save(there, f"checkpoint_1-00000{index}", index) for index in range(3)]
    (folders[2] / "weights").write_text("checkpoint_2-000002")
    address = f"{there}/sweep/t/checkpoint_1-000002"
    if place == "s3":
        with object_store() as server:
            for name, value in server.items():
                monkeypatch.setenv(name, value)
            copy_files(f"{there}/sweep", f"s3://{BUCKET}/runs/sweep")
            check_it_is_the_one_before(f"s3://{BUCKET}/runs/sweep/t/checkpoint_1-000002")
            with whole_checkpoint(f"s3://{BUCKET}/runs/sweep/t/checkpoint_1-000009") as folder:
                assert folder is None
        return
    check_it_is_the_one_before(address)
    for one in folders:
        (one / "weights").write_text("damaged")
    with pytest.raises(RunError, match="checkpoint_1-000002 is damaged"), whole_checkpoint(address):
        pass


def check_it_is_the_one_before(address: str) -> None:
    with whole_checkpoint(address) as folder:
        assert folder is not None
        assert (folder / "weights").read_text() == "checkpoint_1-000001"
