"""Secrets that a sweep is given reach nothing that it writes or says: a real sweep, a real server."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from loopback import answers, free_port
from waiting import wait_until

from rlsweep.store.layout import Storage
from rlsweep.store.manifest import Manifest

ROOT = Path(__file__).parents[2]
IN_URI = "canary-uri/8Jq2"
IN_GIT = "canary-git-5Kd9"
IN_PASSWORD = "canary-password-7Hx4"
IN_CLOUD = "canary-cloud-3Wm6"
IN_RAY = "canary-ray-6Tn1"
SECRETS = (IN_URI, IN_GIT, IN_PASSWORD, IN_CLOUD, IN_RAY)


def forms(secret: str) -> set[bytes]:
    """A secret as it may be written: as it is, quoted, in hexadecimal, in base64."""
    plain = secret.encode()
    encoded = [base64.b64encode(b" " * shift + plain)[4:-4] for shift in range(3)]
    return {plain, quote(secret, safe="").encode(), plain.hex().encode(), *encoded}


def leaks(content: bytes) -> list[str]:
    return [secret for secret in SECRETS if any(form in content for form in forms(secret))]


def test_the_search_finds_what_it_looks_for() -> None:
    for secret in SECRETS:
        for form in forms(secret):
            assert leaks(b"x" + form + b"y") == [secret]
        assert leaks(base64.b64encode(f"ann:{secret}, and more".encode())) == [secret]
    assert leaks(b"nothing") == []


def leaking_files(folder: Path) -> dict[str, list[str]]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    return {str(path): found for path in files if (found := leaks(path.read_bytes()))}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A short path, because of Ray's sockets; it holds the storage, a home and a repository."""
    folder = Path(tempfile.mkdtemp(prefix="rls"))
    (folder / "home").mkdir()
    repository = folder / "work"
    repository.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(repository)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    subprocess.run([*git, "remote", "add", "origin", f"https://ann:{IN_GIT}@git.example/x.git"], check=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[str]:
    """The URI, with its password, of an MLflow server that asks for one."""
    settings = place / "auth.ini"
    settings.write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = ann\n"
        f"database_uri = sqlite:///{place}/auth.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_ttl_seconds = 60\n"
    )
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{place}/server.db", "--workers", "1"]
    command += ["--artifacts-destination", str(place / "artifacts")]
    environment = {
        **os.environ,
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_PASSWORD": IN_URI,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test",
    }
    with (place / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=place
        )
    wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), process, place / "server.log")
    yield f"http://ann:{quote(IN_URI, safe='')}@127.0.0.1:{port}"
    os.killpg(process.pid, 15)
    process.wait(timeout=300)


COMMANDS = """
import json, os, sys
from rlsweep.cli import main
for uri, arguments in json.loads(sys.argv[1]):
    os.environ["MLFLOW_TRACKING_URI"] = uri
    sys.argv = ["rlsweep", *arguments]
    try:
        main()
        code = 0
    except SystemExit as error:
        code = error.code
    print("ended with", code, flush=True)
"""


def rlsweep(place: Path, *commands: tuple[str, list[str]]) -> subprocess.CompletedProcess[str]:
    """Tracking URIs and commands, with every secret in the environment; what they say is searched."""
    environment = {
        **os.environ,
        "RLSWEEP_STORAGE": str(place / "runs"),
        "MLFLOW_TRACKING_PASSWORD": IN_PASSWORD,
        "AWS_SECRET_ACCESS_KEY": IN_CLOUD,
        "RAY_AUTH_TOKEN": IN_RAY,
        "RAY_TMPDIR": str(place),
        "HOME": str(place / "home"),
    }
    command = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
    done = subprocess.run(
        command, cwd=place / "work", env=environment, capture_output=True, text=True, check=False
    )
    assert leaks((done.stdout + done.stderr).encode()) == [], done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_secrets_reach_nothing_that_a_sweep_writes_or_says(place: Path, server: str) -> None:
    sweep = ["run", str(ROOT / "sweeps" / "cartpole_ppo.yaml"), "--profile", "smoke"]
    sweep += ["--set", "stop.env_steps=4k", "--set", "search.parameters={}", "--set", "tracking.register=x"]
    done = rlsweep(place, (server, sweep))
    assert done.stdout.endswith("ended with 0\n"), done.stderr
    manifest = Manifest.read(Storage(place / "runs").run("cartpole_ppo"))
    assert manifest.mlflow.parent_run_id, "the server took the password"
    assert manifest.mlflow.tracking_uri == f"http://{server.rpartition('@')[2]}"
    assert manifest.git["repo"] == "https://git.example/x.git"
    assert (place / "server.db").stat().st_size > 100_000
    assert "tuner.pkl" in {path.name for path in (place / "runs").rglob("*")}, "Tune's pickles are searched"
    for folder in ("runs", "artifacts"):
        assert leaking_files(place / folder) == {}
    for file in ("server.db", "server.log"):
        assert leaks((place / file).read_bytes()) == [], file


def test_what_ray_logs_of_them_only_their_owner_can_read(place: Path) -> None:
    """Tune hands AWS keys to trials in their runtime environment, and Ray logs that whatever it is told."""
    (session,) = (path for path in (place / "ray").glob("session_*") if not path.is_symlink())
    assert {path.suffix for path in session.rglob("*")} >= {".log", ".out", ".err"}
    found = leaking_files(session)
    assert set(found) <= {str(session / "logs" / "runtime_env_agent.log")}
    assert all(secrets == [IN_CLOUD] for secrets in found.values())


def test_secrets_are_not_in_what_other_commands_and_errors_say(place: Path, server: str) -> None:
    away = f"http://ann:{quote(IN_URI, safe='')}@127.0.0.1:{free_port()}"
    wrong = f"http://ann:{IN_CLOUD}@{server.rpartition('@')[2]}"
    nothing = f"nothing://ann:{IN_CLOUD}@127.0.0.1"
    done = rlsweep(
        place,
        (server, ["status", "cartpole_ppo"]),
        (server, ["ui"]),
        (away, ["sync", "cartpole_ppo"]),
        (wrong, ["sync", "cartpole_ppo"]),
        (nothing, ["sync", "cartpole_ppo"]),
        (away, ["rollout", "models:/x@best"]),
        (nothing, ["run", str(ROOT / "sweeps" / "cartpole_ppo.yaml"), "--profile", "nothing"]),
    )
    codes = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("ended with")]
    assert codes == ["0", "0", "1", "1", "1", "1", "2"], done.stderr
    assert f"MLflow runs on http://{server.rpartition('@')[2]}\n" in done.stdout
    assert "does not answer" in done.stderr
    assert f"MLflow at {nothing.replace(f'ann:{IN_CLOUD}@', '')} refuses" in done.stderr
    assert leaking_files(place / "runs") == {}
