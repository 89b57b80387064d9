"""What listens while things run: Ray on this machine alone, and MLflow behind a password where it shall."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from loopback import free_port
from waiting import wait_until

MAIN = "from rlsweep.cli import main; main()"
PASSWORD = "a password of this test"

SESSION = """
import ipaddress, psutil
from rlsweep.cli import app, main
import sys

@app.command()
def listen():
    from rlsweep.run.session import ray_session
    import ray

    with ray_session():
        assert ray.get(ray.remote(lambda: 7).remote()) == 7
        me = psutil.Process()
        for process in [me, *me.children(recursive=True)]:
            for one in process.net_connections("inet"):
                if one.status == psutil.CONN_LISTEN:
                    print(one.laddr.ip, process.name())
        print("session in", ray._private.worker._global_node.get_session_dir_path())

sys.argv = ["rlsweep", "listen"]
main()
"""


def test_ray_listens_on_loopback_and_writes_where_nobody_else_looks() -> None:
    without = ("RAY_ADDRESS", "RAY_TMPDIR", "TMPDIR", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
    environment = {name: value for name, value in os.environ.items() if name not in without}
    done = subprocess.run(
        [sys.executable, "-c", SESSION], env=environment, capture_output=True, text=True, check=True
    )
    *listening, session = done.stdout.splitlines()
    assert len(listening) >= 5, "GCS, raylet, agents, workers"
    for line in listening:
        address = line.split()[0].removeprefix("::ffff:")
        assert address in ("127.0.0.1", "::1"), line
    folder = Path(f"/tmp/rlsweep-{os.geteuid()}")
    assert session.startswith(f"session in {folder}/ray/session_")
    assert folder.stat().st_mode & 0o077 == 0


def ui(storage: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, "ui", "--storage", str(storage), *arguments],
        env={**os.environ, "MLFLOW_TRACKING_URI": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_for_others_it_asks_for_passwords_or_does_not_start(tmp_path: Path) -> None:
    process = ui(tmp_path, "--host", "0.0.0.0")
    out, messages = process.communicate(timeout=300)
    assert (process.returncode, out) == (4, ""), messages
    assert "say --auth" in messages


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """The port of the UI behind a password."""
    port = free_port()
    process = ui(tmp_path, "--auth", "--port", str(port), MLFLOW_AUTH_ADMIN_PASSWORD=PASSWORD)
    wait_until(lambda: status_of(port) != 0, process)
    yield port
    os.killpg(process.pid, 15)
    process.communicate(timeout=300)


def status_of(port: int, password: str = "") -> int:
    """The answer to a question for experiments; 0 where nobody answers."""
    url = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=1"
    credentials = base64.b64encode(f"admin:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"} if password else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=300) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_behind_a_password_only_who_has_it_is_answered(tmp_path: Path, server: int) -> None:
    assert status_of(server) == 401
    assert status_of(server, "another") == 401
    assert status_of(server, PASSWORD) == 200
    accounts = tmp_path / ".accounts"
    assert accounts.stat().st_mode & 0o077 == 0
    assert (accounts / "auth.db").is_file()
    assert all(PASSWORD.encode() not in path.read_bytes() for path in accounts.iterdir())
    listening = {
        one.laddr.ip
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == server
    }
    assert listening == {"127.0.0.1"}
