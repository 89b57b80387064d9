"""Passwords in URIs: they are not shown, not kept, and not pickled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray import cloudpickle

from rlsweep.errors import PreflightError
from rlsweep.plan import Machine, make
from rlsweep.run.manifest import new_manifest
from rlsweep.run.tracking import TrackedRun
from rlsweep.run.tracking_server import mlflow_server
from rlsweep.run.tracking_store import check_tracking, remote_tracking_server, tracking_uri
from rlsweep.spec import Sweep
from rlsweep.store.credentials import without_credentials
from rlsweep.store.endings import error_reason
from rlsweep.store.layout import Storage

DATABASE = "postgresql+psycopg://ann:S3CRET@127.0.0.1:1/none"
SERVER = "http://ann:S3%2FCRET@127.0.0.1:1/mlflow"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test sets is taken back."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:secret@host:5000/a", "http://host:5000/a"),
        ("https://token@host", "https://host"),
        ("http://ann:se@cret@host", "http://host"),
        ("http://ann:se/cret@host", "http://host"),
        ("http://ann:1/x@host", "http://ann:1/x@host"),  # a port and a path, as far as anybody can tell
        ("http://ann:#x?@host", "http://host"),
        (
            "postgresql+psycopg://ann:secret@host/db?sslmode=require",
            "postgresql+psycopg://host/db?sslmode=require",
        ),
        ("postgresql://host/db?user=ann&password=secret&x=1", "postgresql://host/db?user=ann&password=…&x=1"),
        ("https://host/x?access_token=secret", "https://host/x?access_token=…"),
        ("at http://a:b@x, then http://c:d@y: gone", "at http://x, then http://y: gone"),
        ("models:/cartpole@best", "models:/cartpole@best"),
        ("http://127.0.0.1:5000/get?name=x@best", "http://127.0.0.1:5000/get?name=x@best"),
        ("sqlite:////home/ann/runs/mlflow.db", "sqlite:////home/ann/runs/mlflow.db"),
        ("git@host:org/repo.git", "git@host:org/repo.git"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_uri(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@settings(max_examples=500, deadline=None)
@given(
    user=st.text(st.characters(codec="ascii", exclude_characters="/?#@: \t\n", categories=["L", "N", "P"])),
    password=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1).map(
        lambda text: f"S3CRET{text}S3CRET"
    ),
)
def test_no_password_is_shown_whatever_is_in_it(user: str, password: str) -> None:
    assert "S3CRET" not in without_credentials(f"cannot open http://{user}:{password}@host/path: no")


def test_a_trace_is_quoted_without_passwords() -> None:
    assert (
        error_reason(f"OSError: {DATABASE} is away")
        == "OSError: postgresql+psycopg://127.0.0.1:1/none is away"
    )


def test_the_credentials_of_a_server_move_to_the_variables_that_mlflow_has_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "of another")
    for _ in range(2):
        assert tracking_uri(Storage(tmp_path)) == "http://127.0.0.1:1/mlflow"
        assert remote_tracking_server() == "http://127.0.0.1:1/mlflow"
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:1/mlflow"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ann"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "S3/CRET"


def test_without_credentials_the_variables_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "mine")
    assert tracking_uri(Storage(tmp_path)) == "http://127.0.0.1:1"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "mine"


@pytest.mark.parametrize(
    "uri", ["nothing://ann:S3CRET@host", "http://[ann:S3CRET@host", "postgresql+no://ann:S3CRET@host/x"]
)
def test_a_store_that_cannot_be_opened_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(PreflightError, match="MLflow cannot open") as caught:
        check_tracking(Storage(tmp_path))
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize("uri", [DATABASE, SERVER])
def test_neither_the_manifest_nor_what_tune_pickles_has_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cartpole: Sweep, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    storage = Storage(tmp_path)
    manifest = new_manifest(make(cartpole, Machine.of(cpus=2, gpus=0)))
    layout = storage.run(manifest.name)
    tracked = TrackedRun(manifest, layout, storage)
    assert b"CRET" not in cloudpickle.dumps(tracked.tracker())
    tracked.keep("parent", {}, is_whole=True)
    assert "127.0.0.1:1" in layout.manifest.read_text("utf-8")
    assert "CRET" not in layout.manifest.read_text("utf-8")
    assert TrackedRun(manifest, layout, storage).sweep().run_id == "parent", "it is the same store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:2")
    assert TrackedRun(manifest, layout, storage).sweep().run_id == "", "it is another one"


def test_a_password_is_not_on_the_command_line_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which every user of the machine can read."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DATABASE)
    server = mlflow_server(Storage(tmp_path), "127.0.0.1", 5000)
    assert "S3CRET" not in " ".join(server.arguments)
    assert server.environment["MLFLOW_BACKEND_STORE_URI"] == DATABASE
