"""Who can reach what runs here: MLflow and Ray are this machine's, or ask for a password or a token."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rlsweep.errors import PreflightError
from rlsweep.run.exposure import check_exposure, keep_ray_local, keep_token_private, make_private_folder
from rlsweep.run.tracking_server import is_loopback, mlflow_server
from rlsweep.store.layout import Storage

PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"
FOLDER = "RAY_TMPDIR"
LOCAL = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        *("MLFLOW_TRACKING_URI", "MLFLOW_AUTH_CONFIG_PATH", PASSWORD, "MLFLOW_FLASK_SERVER_SECRET_KEY"),
        *("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", LOCAL, FOLDER, "TMPDIR"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("127.0.0.1", "::1", "localhost", "127.0.0.2")),
        *((host, False) for host in ("0.0.0.0", "::", "0", "192.0.2.1", "", "no-such-host.invalid")),
    ],
)
def test_which_addresses_are_this_machines_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", ""])
def test_mlflow_without_passwords_is_for_this_machine_alone(tmp_path: Path, host: str) -> None:
    with pytest.raises(PreflightError, match="--auth") as caught:
        mlflow_server(Storage(tmp_path), host, 5000)
    assert caught.value.exit_code == 4
    assert "ssh -L 5000:127.0.0.1:5000" in str(caught.value)


def test_on_loopback_no_password_is_needed(tmp_path: Path) -> None:
    server = mlflow_server(Storage(tmp_path), "127.0.0.1", 5001)
    assert "basic-auth" not in server.arguments
    assert server.arguments[server.arguments.index("--host") + 1] == "127.0.0.1"
    hosts = server.arguments[server.arguments.index("--allowed-hosts") + 1]
    assert hosts.split(",") == ["127.0.0.1:5001", "localhost:5001"]


def test_with_passwords_others_can_be_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "a long password")
    monkeypatch.setenv("MLFLOW_SERVER_ALLOWED_HOSTS", "mlflow.example")
    storage = Storage(tmp_path / "100%")
    server = mlflow_server(storage, "0.0.0.0", 5000, auth=True)
    assert server.arguments[server.arguments.index("--app-name") + 1] == "basic-auth"
    assert "a long password" not in " ".join(server.arguments)
    assert len(server.environment["MLFLOW_FLASK_SERVER_SECRET_KEY"]) == 64
    settings = Path(server.environment["MLFLOW_AUTH_CONFIG_PATH"])
    assert "a long password" not in settings.read_text("utf-8")
    assert "100%%/.accounts/auth.db" in settings.read_text("utf-8")
    assert stat.S_IMODE(storage.accounts.stat().st_mode) == 0o700
    hosts = server.arguments[server.arguments.index("--allowed-hosts") + 1].split(",")
    assert {"mlflow.example", "127.0.0.1:5000", f"{os.uname().nodename}:5000"} <= set(hosts)
    assert "*" not in hosts


def test_the_first_start_with_passwords_needs_one(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match=f"set {PASSWORD}"):
        mlflow_server(Storage(tmp_path), "0.0.0.0", 5000, auth=True)
    (tmp_path / ".accounts").mkdir()
    (tmp_path / ".accounts" / "auth.db").touch()
    mlflow_server(Storage(tmp_path), "0.0.0.0", 5000, auth=True)


def test_what_passwords_need_is_named_where_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flask_wtf", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(PreflightError, match=r"pip install 'mlflow\[auth\]'"):
        mlflow_server(Storage(tmp_path), "0.0.0.0", 5000, auth=True)


def test_own_settings_of_mlflow_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", "mine.ini")
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "mine")
    server = mlflow_server(Storage(tmp_path), "0.0.0.0", 5000, auth=True)
    assert "MLFLOW_AUTH_CONFIG_PATH" not in server.environment
    assert server.environment["MLFLOW_FLASK_SERVER_SECRET_KEY"] == "mine"
    assert not (tmp_path / ".accounts").exists()


def test_ray_stays_on_this_machine_unless_a_cluster_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    keep_ray_local()
    assert LOCAL not in os.environ
    assert FOLDER not in os.environ
    monkeypatch.delenv("RAY_ADDRESS")
    keep_ray_local()
    assert os.environ.pop(LOCAL) == "0"
    assert os.environ.pop(FOLDER) == f"/tmp/rlsweep-{os.geteuid()}"
    monkeypatch.setenv("TMPDIR", "/mine")
    keep_ray_local()
    assert os.environ.pop(LOCAL) == "0"
    assert FOLDER not in os.environ


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for /tmp/rlsweep-<user>."""
    found = tmp_path / "ray"
    monkeypatch.setattr("rlsweep.run.exposure._private_folder", lambda: str(found))
    monkeypatch.setenv(FOLDER, str(found))
    return found


def test_rays_folder_is_this_users_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        make_private_folder()
        assert mode_of(folder) == 0o700
    assert os.environ[FOLDER] == str(folder)
    assert not caplog.messages


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_a_folder_that_others_have_made_is_not_taken(
    folder: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    if kind == "open":
        folder.mkdir()
        folder.chmod(0o755)
    elif kind == "link":
        (folder.parent / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(folder.parent / "elsewhere")
    else:
        folder.touch()
    make_private_folder()
    assert FOLDER not in os.environ
    assert "is not this user's alone" in caplog.text


def test_a_folder_that_the_user_names_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, "/mine")
    make_private_folder()
    assert not folder.exists()
    assert os.environ[FOLDER] == "/mine"


def test_the_command_line_says_so_before_anything_imports_ray() -> None:
    code = f"""
import os, sys
from rlsweep.cli import app, main
@app.command()
def probe():
    print("ray" in sys.modules, os.environ["{LOCAL}"])
sys.argv = ["rlsweep", "probe"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False 0", done.stderr


def test_without_a_token_ray_is_for_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    check_exposure("192.0.2.1")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    check_exposure("127.0.0.1")
    with pytest.raises(PreflightError, match="RAY_AUTH_MODE=disabled") as caught:
        check_exposure("192.0.2.1")
    assert caught.value.exit_code == 4
    monkeypatch.setenv("RAY_AUTH_MODE", "TOKEN")
    check_exposure("192.0.2.1")


def token(home: Path) -> Path:
    return home / ".ray" / "auth_token"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_that_only_its_owner_can_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep_token_private(make=False)
    assert not token(tmp_path).exists(), "a cluster gives its own"
    keep_token_private(make=True)
    assert mode_of(token(tmp_path)) == 0o600
    made = token(tmp_path).read_text()
    assert len(made) == 64
    keep_token_private(make=True)
    assert token(tmp_path).read_text() == made
    assert not caplog.messages


@pytest.mark.parametrize("make", [True, False])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_token_that_others_can_read_is_taken_from_them_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, make: bool
) -> None:
    token(tmp_path).parent.mkdir()
    token(tmp_path).write_text("known")
    token(tmp_path).chmod(mode)
    keep_token_private(make=make)
    assert mode_of(token(tmp_path)) == 0o600
    assert "could be read by others" in caplog.text
    assert "known" not in caplog.text


def test_a_token_that_comes_from_elsewhere_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x" * 64)
    keep_token_private(make=True)
    assert not token(tmp_path).exists()
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    keep_token_private(make=True)
    assert not token(tmp_path).exists()


def test_a_home_that_cannot_be_written_is_no_reason_to_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".ray").write_text("a file")
    keep_token_private(make=True)
    assert "cannot be kept from others" in caplog.text
