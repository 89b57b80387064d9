"""docker/compose.yaml on 127.0.0.1: who is turned away, a sweep that loses a worker, a head that is stopped.

No Docker runs here: `compose_processes` starts the commands of the file. What is not of the file: moto's S3
server stands in the place of SeaweedFS, whose file of identities and whose health check are not seen at work
therefore; PostgreSQL is Debian's 15 and not the image's 18; all services run as root, but for PostgreSQL, and
share one network, in which nothing is but 127.0.0.1: so each node's agent has a port of its own.

    python -m pytest -m slow tests/slow/test_compose.py -s
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import psycopg
import pytest
from botocore.exceptions import ClientError
from compose_cluster import AGENT_PORTS, BUCKET, DASHBOARD, MLFLOW, S3, Cluster, compose_cluster, start_worker
from histories import points_of, what_was_kept
from mlflow.tracking import MlflowClient
from waiting import wait_until

from analysis.history import read_run
from rlsweep.run.doctor_ports import read_listeners
from rlsweep.store.checkpoint import read_row, verify
from rlsweep.store.layout import RunLayout, Storage

EVERY = 4000
"""Env steps between two checkpoints."""

SWEEP = [
    *("cartpole_ppo.yaml", "--profile", "smoke", "--set", "seeds=2", "--set", "stop.env_steps=80k"),
    *("--set", f"checkpoints.every={EVERY}", "--set", "resources.env_runners=0"),
]
"""Four trials of one CPU each, which two workers of two CPUs run at once."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    print()
    with compose_cluster() as found:
        yield found


def status(url: str, data: bytes | None = None, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def said(process: subprocess.Popen[str], code: int = 0) -> str:
    text, _ = process.communicate()
    assert process.returncode == code, text
    assert "Traceback" not in text
    return text


def test_nothing_listens_for_other_machines(cluster: Cluster) -> None:
    listeners = read_listeners()  # of /proc/net, which shows this network alone
    assert {5432, 8333, 5000, 6379, 8265, *AGENT_PORTS.values()} <= {one.port for one in listeners}
    assert [one for one in listeners if not one.is_local] == []
    cluster.services.say(f"{len(listeners)} sockets listen, all of them on 127.0.0.1")


def test_mlflow_wants_a_password(cluster: Cluster) -> None:
    url = f"{MLFLOW}/api/2.0/mlflow/experiments/search?max_results=1"
    good = base64.b64encode(f"admin:{cluster.secret('mlflow_password')}".encode()).decode()
    bad = base64.b64encode(b"admin:password1234").decode()
    found = [status(url), *(status(url, Authorization=f"Basic {one}") for one in (bad, good))]
    assert found == [401, 401, 200]
    assert status(url, Authorization=f"Basic {good}", Host="evil.example") == 403
    cluster.services.say(f"MLflow without a password, with a wrong one, with its own: {found}")


def test_ray_wants_its_token(cluster: Cluster) -> None:
    good, bad = cluster.secret("ray_token"), "wrong" * 8
    tokens = [{}, {"Authorization": f"Bearer {bad}"}, {"Authorization": f"Bearer {good}"}]
    found = [status(f"{DASHBOARD}/api/jobs/", **one) for one in tokens]
    assert found == [401, 403, 200]
    job = json.dumps({"entrypoint": "true"}).encode()
    for name, port in AGENT_PORTS.items():
        url = f"http://127.0.0.1:{port}/api/job_agent/jobs/"
        answers = [status(url, job, **{"Content-Type": "application/json"}, **one) for one in tokens[:2]]
        assert answers == [401, 403], name
    cluster.services.say(
        f"Ray's jobs without a token, with a wrong one, with its own: {found}; so its agents"
    )
    assert "Total Usage" in cluster.ray_status()
    assert "Total Usage" not in cluster.ray_status(bad)


def test_the_store_wants_its_keys(cluster: Cluster) -> None:
    def answer(**keys: str) -> str:
        client = boto3.client("s3", endpoint_url=S3, region_name="us-east-1", **keys)
        try:
            client.list_objects_v2(Bucket=BUCKET)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "all of it"

    known, secret = cluster.secret("s3_access_key_id"), cluster.secret("s3_secret_access_key")
    assert answer(aws_access_key_id="any", aws_secret_access_key="any") == "InvalidAccessKeyId"
    assert answer(aws_access_key_id=known, aws_secret_access_key="any") == "SignatureDoesNotMatch"
    assert answer(aws_access_key_id=known, aws_secret_access_key=secret) == "all of it"
    cluster.bucket.client.put_object(Bucket=BUCKET, Key="secret.txt", Body=b"secret")
    assert status(f"{S3}/{BUCKET}/secret.txt") == 403
    cluster.services.say("S3 refuses without keys, with an unknown one, with a wrong secret")


def test_postgresql_wants_its_password(cluster: Cluster, tmp_path: Path) -> None:
    socket = str(cluster.services.folder / "postgres" / "home")
    for host in ("127.0.0.1", socket):
        address = {"host": host, "user": "mlflow", "dbname": "mlflow"}
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(**address, passfile=tmp_path / "none")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(**address, password="wrong")
        with psycopg.connect(**address, password=cluster.secret("postgres_password")) as connection:
            assert connection.execute("SELECT count(*) FROM experiments").fetchone() == (1,)
    cluster.services.say("PostgreSQL refuses without a password, with a wrong one, by TCP and by its socket")


def arrived(cluster: Cluster, run: str, pattern: str) -> set[str]:
    """Trials of which such a file has come into the bucket."""
    names = (name.split("/") for name in cluster.bucket.names(f"runs/{run}/"))
    return {parts[2] for parts in names if re.fullmatch(pattern, "/".join(parts[3:]))}


def have_checkpoints(cluster: Cluster, run: str, num_trials: int) -> Callable[[], bool]:
    """Whether so many trials have rows and a whole checkpoint in the bucket."""
    patterns = ("result.json", r"checkpoint_[\d-]+/MANIFEST.json")
    return lambda: all(len(arrived(cluster, run, pattern)) == num_trials for pattern in patterns)


def trials_on(cluster: Cluster, name: str) -> int:
    """How many trials a worker runs."""
    return sum("ray::Trial" in " ".join(one.cmdline()) for one in cluster.services.running[name].processes())


def test_a_sweep_outlives_a_worker(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say = cluster.services.say
    following = cluster.rlsweep("submit", *SWEEP)
    wait_until(have_checkpoints(cluster, "cartpole_ppo", 4), following)
    say("rlsweep submit: four trials have rows and whole checkpoints in the bucket")
    again = said(cluster.rlsweep("submit", *SWEEP, "--no-follow"))
    assert re.search(r"job cartpole_ppo-\w+-1 at .*: running", again)
    say(f"submitted again: {again.splitlines()[0]}")
    num_lost = trials_on(cluster, "worker-2")
    assert num_lost > 0
    num_killed = cluster.services.kill("worker-2")
    say(f"SIGKILL to the {num_killed} processes of worker-2, {num_lost} of them trials")
    console = said(following)
    say("the job has ended, exit code 0")
    print(console)
    assert console.count("goes on from its last checkpoint") == num_lost
    assert "View run" not in console

    cluster.bucket.fetch("", tmp_path)
    layout = Storage(tmp_path / "runs").run("cartpole_ppo")
    assert_nothing_is_lost(cluster, layout, monkeypatch)
    assert len(list(layout.root.glob("*/failures.json"))) == num_lost
    for arguments, word in (
        (["status"], "4 finished"),
        (["report", "cartpole_ppo"], "written: "),
        (["best", "cartpole_ppo"], "winner: "),
    ):
        assert word in said(cluster.rlsweep(*arguments))
    say("rlsweep status, report and best on the laptop have it from the bucket")


def assert_nothing_is_lost(cluster: Cluster, layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four finished trials: rows, checkpoints, MLflow's runs and points; artifacts are where runs are."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", cluster.secret("mlflow_password"))
    run = read_run(layout)
    assert len(run.trials) == 4
    kept = what_was_kept(run, layout, points_of("cartpole_ppo", MLFLOW))
    assert (kept.lost, kept.duplicate_points, kept.missing_points) == (0, 0, 0), kept
    row = max(int(trial.rows["env_steps"].diff().max()) for trial in run.trials)
    assert kept.repeated_env_steps <= EVERY + 2 * row
    checkpoints = [folder for trial in run.trials for folder in layout.checkpoints(trial.record.id)]
    assert {folder.parent.name for folder in checkpoints} == {trial.record.id for trial in run.trials}
    for folder in checkpoints:
        verify(folder)
    parent = MlflowClient(MLFLOW).get_run(run.manifest.mlflow.parent_run_id)
    assert parent.info.status == "FINISHED"
    artifacts = (
        layout.root.parents[1] / "mlflow" / parent.info.experiment_id / parent.info.run_id / "artifacts"
    )
    assert {"policy", "report", "spec.yaml", "summary.json"} <= {path.name for path in artifacts.iterdir()}
    num_rows = sum(len(trial.rows) for trial in run.trials)
    cluster.services.say(
        f"bucket: {len(run.trials)} trials finished, {num_rows} iterations without a gap, {len(checkpoints)} "
        f"whole checkpoints, at most {kept.repeated_env_steps} env steps of a trial made again; "
        f"MLflow: {kept.missing_points} points missing, {kept.duplicate_points} twice"
    )


def test_a_killed_worker_comes_back(cluster: Cluster) -> None:
    """As Docker starts it again: among what the one before has left."""
    cluster.services.kill("worker-2")
    wait_until(lambda: "/2.0 CPU" in cluster.ray_status())
    start_worker(cluster.services, "worker-2")
    wait_until(lambda: "/4.0 CPU" in cluster.ray_status())
    cluster.services.say("worker-2 is back: Ray has 4 CPUs again")


def test_a_head_that_is_stopped_lets_trials_leave_checkpoints(cluster: Cluster, tmp_path: Path) -> None:
    endless = ("--set", "name=endless", "--set", "seeds=1", "--set", "stop={env_steps: 1B, score: 501}")
    said(cluster.rlsweep("submit", *SWEEP, *endless, "--no-follow"))
    wait_until(have_checkpoints(cluster, "endless", 2))
    cluster.services.say("another sweep, without an end, has checkpoints in the bucket")
    cluster.services.stop("head")
    cluster.bucket.fetch("runs/endless", tmp_path)
    layout = Storage(tmp_path / "runs").run("endless")
    run = read_run(layout)
    for trial in run.trials:
        newest = layout.checkpoints(trial.record.id)[-1]
        verify(newest)
        assert read_row(newest)["env_steps"] == trial.last["env_steps"] > EVERY
    assert "2 interrupted" in said(cluster.rlsweep("status", "endless"))
    cluster.services.say(
        "the head was stopped: each of its 2 trials has left a checkpoint after its last row"
    )
