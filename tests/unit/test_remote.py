"""A storage behind a URI: a real S3 server, and pyarrow's local file system for what has folders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import free_port
from object_store import BUCKET, object_store

from rlsweep.errors import RunError, UsageError
from rlsweep.run.doctor_runs import run_findings
from rlsweep.run.signs_of_life import Owner
from rlsweep.store.layout import Storage
from rlsweep.store.remote import Remote, is_remote

TRIAL = "lr=1e-3,env=Pong-v5_seed0_ab"


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with object_store() as environment:
        yield environment


@pytest.fixture(params=["s3", "folder"])
def remote(
    request: pytest.FixtureRequest,
    server: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Remote:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    place = f"s3://{BUCKET}/{tmp_path.name}" if request.param == "s3" else f"file://{tmp_path}/there"
    return Remote.open(place)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("s3://b/c", True), ("fsspec+memory://c", True), ("runs", False), ("/a/b", False), ("c:/runs", False)],
)
def test_a_uri_is_no_path(text: str, expected: bool) -> None:
    assert is_remote(text) is expected


def test_what_was_written_is_read(remote: Remote, tmp_path: Path) -> None:
    run = remote.at("sweep")
    assert run.files() == {}
    assert remote.folders() == []
    run.write(f"{TRIAL}/result.json", b"rows\n")
    run.write("sweep.json", b"{}")
    assert remote.folders() == ["sweep"]
    assert {name: one.bytes for name, one in run.files().items()} == {
        f"{TRIAL}/result.json": 5,
        "sweep.json": 2,
    }
    assert list(run.files(TRIAL)) == [f"{TRIAL}/result.json"]
    assert run.read("sweep.json") == b"{}"
    assert run.read("nothing") is None
    assert run.stamps(["sweep.json", "nothing"]) == {"sweep.json": run.files()["sweep.json"]}
    again = Remote.open(run.uri_of(TRIAL))
    assert again.read("result.json") == b"rows\n", "URIs lead where names do"
    run.fetch("sweep.json", tmp_path / "here" / "copy", run.files()["sweep.json"])
    assert (tmp_path / "here" / "copy").stat().st_mtime == pytest.approx(run.files()["sweep.json"].seconds)
    run.send(tmp_path / "here" / "copy", "again")
    assert run.read("again") == b"{}"
    assert not run.fetch("nothing", tmp_path / "here" / "nothing")
    assert not (tmp_path / "here" / "nothing").exists()


def test_folders_are_moved_copied_and_deleted(remote: Remote) -> None:
    run, other = remote.at("sweep"), remote.at("fork")
    run.write(f"{TRIAL}/checkpoint_000001/a/b", b"1")
    run.write(f"{TRIAL}/checkpoint_000001/c", b"22")
    run.move(f"{TRIAL}/checkpoint_000001", f"{TRIAL}/checkpoint_1-000001")
    assert sorted(run.files()) == [f"{TRIAL}/checkpoint_1-000001/a/b", f"{TRIAL}/checkpoint_1-000001/c"]
    other.copy_from(run, TRIAL)
    assert sorted(other.files()) == sorted(run.files())
    assert other.read(f"{TRIAL}/checkpoint_1-000001/c") == b"22"
    run.delete(TRIAL)
    run.delete(TRIAL)
    assert run.files() == {}
    assert len(other.files()) == 2


def test_the_query_of_a_uri_stays(remote: Remote) -> None:
    found = Remote("s3://b/runs?region=eu-west-1", remote._filesystem, "b/runs")
    assert found.at("sweep").uri_of("a b") == "s3://b/runs/sweep/a%20b?region=eu-west-1"


@pytest.mark.parametrize(
    "uri",
    ["s3://user:hunter2@bucket/runs", "abfs://c@host/runs?client_secret=hunter2", "s3://b?token=hunter2"],
)
def test_a_key_in_a_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(UsageError, match="leave keys to the environment") as caught:
        Storage.at(uri)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(UsageError, match=r"--storage smb://host/runs.*allowed: a path, s3://"):
        Storage.at("smb://host/runs")


def test_a_bucket_that_is_not_there_is_named(remote: Remote) -> None:
    if remote.uri.startswith("s3"):
        with pytest.raises(RunError, match=r"s3://nobody.*does not exist"):
            Remote.open("s3://nobody/runs").write("a", b"")
        with pytest.raises(RunError, match="there is no 'nobody'"):
            Remote.open("s3://nobody/runs").folders()


def test_each_storage_has_its_own_working_copies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, two = Storage.at("file:///a/b"), Storage.at("file:///a_b")
    assert one.root != two.root
    assert one.root == Storage.at("file:///a/b/").root
    assert one.root.stat().st_mode & 0o777 == 0o700
    assert one.root.is_relative_to(tmp_path / "rlsweep")
    assert one.address == "file:///a/b"
    assert Storage.at(tmp_path).address == str(tmp_path)


def test_doctor_says_who_writes_to_a_storage(remote: Remote, tmp_path: Path) -> None:
    storage = Storage(tmp_path / "here", remote)
    assert [one.text for one in run_findings(storage)] == [f"{storage} answers; it has no run"]
    for name in ("at_rest", "in_use"):
        remote.write(f"{name}/sweep.json", b"{}")
    remote.write("no_run/params.json", b"{}")
    ada = Owner("ada", "another-machine", 17, time.time())
    remote.write("in_use/.owner.json", ada.to_json())
    used, rest = run_findings(storage)
    assert used.text.startswith("in_use is in use by process 17 of ada on another-machine")
    assert rest.text == f"1 run at {storage} in nobody's use"


def test_doctor_names_a_storage_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    storage = Storage(tmp_path, Remote.open(f"s3://{BUCKET}/runs"))
    (finding,) = run_findings(storage)
    assert finding.level == "problem"
    assert f"s3://{BUCKET}/runs: " in finding.text
    assert "AWS_ENDPOINT_URL" in finding.remedy
