"""MLflow servers that are away, broken, slow, behind a password, on PostgreSQL: the sweep goes on, and all of
it arrives, once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import command_line
import pytest
from loopback import answers, free_port
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from waiting import wait_until

from analysis.history import read_run
from rlsweep.store.layout import Storage
from rlsweep.store.manifest import Manifest

POSTGRES = Path("/usr/lib/postgresql/15/bin")
SWEEP = ["run", "cartpole_ppo.yaml", "--profile", "smoke", "--set", "stop.env_steps=6k"]
AWAY = "MLflow is not told, the sweep goes on without it"


def rlsweep(storage: Path, uri: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command_line.rlsweep({"RLSWEEP_STORAGE": str(storage), "MLFLOW_TRACKING_URI": uri}, *arguments)


@pytest.fixture(scope="module")
def unserved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A storage with a sweep that ran while nobody answered, and what the sweep said."""
    folder = tmp_path_factory.mktemp("unserved")
    done = rlsweep(folder, f"http://127.0.0.1:{free_port()}", *SWEEP)
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


@pytest.fixture
def storage(unserved: tuple[Path, str], tmp_path: Path) -> Path:
    """The same, for one test alone."""
    return shutil.copytree(unserved[0], tmp_path / "runs")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Starts real MLflow servers, and ends them."""
    started: list[subprocess.Popen[bytes]] = []

    def start(port: int, backend: str = "", *arguments: str) -> None:
        store = backend or f"sqlite:///{tmp_path}/server.db"
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1"]
        command += ["--artifacts-destination", str(tmp_path / "artifacts"), "--port", str(port), *arguments]
        log = (tmp_path / f"server-{port}.log").open("wb")
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        started.append(process)
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), process, Path(log.name))

    yield start
    for process in started:
        os.killpg(process.pid, 15)
        process.wait(timeout=300)


@pytest.fixture
def broken() -> Iterator[Callable[[float], str]]:
    """Starts servers that answer 500, the first requests at once, all others after some seconds."""
    servers: list[ThreadingHTTPServer] = []

    def start(seconds: float) -> str:
        waits = iter([0.0] * 3)

        class Broken(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                time.sleep(next(waits, seconds))
                self.send_error(500)

            do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:  # who asked has left before the answer
                pass

        servers.append(Server(("127.0.0.1", 0), Broken))
        servers[-1].daemon_threads = True
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def runs_of(uri: str) -> list[Run]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("cartpole_ppo")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def points_of(uri: str, key: str = "score") -> list[tuple[str, int, float]]:
    client = MlflowClient(uri)
    return sorted(
        (run.info.run_id, point.step, point.value)
        for run in runs_of(uri)
        for point in client.get_metric_history(run.info.run_id, key)
    )


def assert_complete(storage: Path, uri: str) -> None:
    """A parent and a child for each trial, each with its points, once."""
    run = read_run(Storage(storage).run("cartpole_ppo"))
    parents = [one for one in runs_of(uri) if "mlflow.parentRunId" not in one.data.tags]
    children = {
        one.data.tags["trial_id"]: one for one in runs_of(uri) if "mlflow.parentRunId" in one.data.tags
    }
    assert [parent.info.run_id for parent in parents] == [run.manifest.mlflow.parent_run_id]
    assert parents[0].info.status == "FINISHED"
    assert parents[0].data.tags["mlflow.note.content"].startswith("# cartpole_ppo")
    assert len(runs_of(uri)) == 1 + len(run.trials)
    expected = []
    for trial in run.trials:
        child = children[trial.record.id]
        assert child.info.status == "FINISHED"
        assert child.data.tags["rlsweep.status"] == "finished"
        assert child.info.run_id == trial.record.mlflow_run_id
        assert child.info.run_name == trial.record.label
        valid = trial.rows[trial.rows["score"].notna()]
        expected += [(child.info.run_id, int(one.env_steps), float(one.score)) for one in valid.itertuples()]
    assert points_of(uri) == sorted(expected)


def test_what_a_server_that_was_away_missed_is_sent_later_and_once(
    storage: Path, unserved: tuple[Path, str], serve: Callable[..., None]
) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    assert unserved[1].count(AWAY) == 1, "one warning"
    assert "rlsweep sync cartpole_ppo" in unserved[1]
    refused = rlsweep(storage, uri, "sync", "cartpole_ppo")
    assert refused.returncode == 1
    assert f"MLflow at {uri} does not answer" in refused.stderr
    serve(port)
    for _ in range(2):
        done = rlsweep(storage, uri, "sync", "cartpole_ppo")
        assert done.returncode == 0, done.stderr
        assert_complete(storage, uri)
    done = rlsweep(storage, uri, *SWEEP)
    assert done.returncode == 0, done.stderr
    assert_complete(storage, uri)
    manifest = Manifest.read(Storage(storage).run("cartpole_ppo"))
    client = MlflowClient(uri)
    parent_run_id = manifest.mlflow.parent_run_id
    assert {item.path for item in client.list_artifacts(parent_run_id)} == {
        *("policy", "report", "spec.yaml", "summary.json")
    }
    table = json.loads(Path(client.download_artifacts(parent_run_id, "summary.json")).read_text())
    assert len(table["data"]) == len(manifest.trials), "one line each, however often it is sent"
    # The ids in the manifest are a convenience: the runs are found by their keys too.
    manifest.mlflow.parent_run_id = ""
    for record in manifest.trials:
        record.mlflow_run_id = ""
    manifest.write(Storage(storage).run("cartpole_ppo"))
    assert rlsweep(storage, uri, "sync", "cartpole_ppo").returncode == 0
    assert_complete(storage, uri)


def test_a_server_that_is_broken_and_slow_does_not_hold_a_sweep_up(
    tmp_path: Path, broken: Callable[[float], str]
) -> None:
    done = rlsweep(tmp_path, broken(60.0), *SWEEP)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(AWAY) == 1
    assert "rlsweep sync cartpole_ppo" in done.stderr
    run = read_run(Storage(tmp_path).run("cartpole_ppo"))
    assert [trial.record.status for trial in run.trials] == ["finished", "finished"]
    wall = max(trial.rows["timestamp"].max() for trial in run.trials) - min(
        trial.rows["timestamp"].min() for trial in run.trials
    )
    assert wall < 55, "no trial waited for an answer"


@pytest.fixture
def postgres() -> Iterator[str]:
    """A database of its own under Debian's server, as the user postgres: it refuses to run as root."""
    if not POSTGRES.is_dir() or os.geteuid() != 0:
        pytest.skip("needs Debian's PostgreSQL 15 and root, to start it as its user")
    folder, port = Path(f"/tmp/rlsweep-postgres-{os.getpid()}"), free_port()

    def as_postgres(*command: str) -> None:
        subprocess.run(
            ["runuser", "-u", "postgres", "--", *command], check=True, capture_output=True, cwd="/"
        )

    as_postgres(str(POSTGRES / "initdb"), "-D", str(folder), "--auth=trust")
    control = [str(POSTGRES / "pg_ctl"), "-D", str(folder), "-w", "-l", f"{folder}/log"]
    as_postgres(*control, "-o", f"-p {port} -k {folder} -c listen_addresses=127.0.0.1", "start")
    try:
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    finally:
        as_postgres(*control, "-m", "immediate", "stop")
        as_postgres("rm", "-rf", str(folder))


def test_a_server_on_postgresql_behind_a_password(
    storage: Path,
    tmp_path: Path,
    serve: Callable[..., None],
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = tmp_path / "auth.ini"
    settings.write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\nadmin_password = secret-of-test\n"
        f"database_uri = sqlite:///{tmp_path}/auth.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(settings))
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "of this test")
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    serve(port, postgres, "--app-name", "basic-auth")
    done = rlsweep(storage, uri, "sync", "cartpole_ppo")
    assert done.returncode == 1, "without a password"
    assert "You are not authenticated" in done.stderr
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret-of-test")
    for _ in range(2):
        done = rlsweep(storage, uri, "sync", "cartpole_ppo")
        assert done.returncode == 0, done.stderr
        assert_complete(storage, uri)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")
    live = ("--set", "name=live", "--set", "tracking.system_metrics=true")
    done = rlsweep(tmp_path / "again", uri, *SWEEP, *live)
    assert done.returncode == 0, done.stderr
    assert AWAY not in done.stderr
    assert "system metrics" not in done.stderr
    parent = Manifest.read(Storage(tmp_path / "again").run("live")).mlflow.parent_run_id
    client = MlflowClient(uri)
    assert 0 < client.get_run(parent).data.metrics["system/cpu_utilization_percentage"] <= 100
