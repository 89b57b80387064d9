"""docker/Dockerfile and docker/compose.yaml: what can be known of them where no Docker runs."""

from __future__ import annotations

import configparser
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import mlflow.environment_variables
import pytest
import ray
import yaml
from compose_file import DOCKER, compose_file
from mlflow.cli import server
from ray.scripts.scripts import start
from waiting import wait_until

ROOT = Path(__file__).parents[2]
COMPOSE = compose_file()
"""Where no variable is set."""

SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (DOCKER / "Dockerfile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OF_GRAFANA = (
    *("GF_SERVER_HTTP_PORT", "GF_SECURITY_ADMIN_PASSWORD__FILE", "GF_SECURITY_ALLOW_EMBEDDING"),
    *("GF_USERS_ALLOW_SIGN_UP", "GF_ANALYTICS_REPORTING_ENABLED", "GF_ANALYTICS_CHECK_FOR_UPDATES"),
)
"""GF_, a section of its grafana.ini, and a key there."""
SECRET = re.compile(r"password|secret|token|key", re.IGNORECASE)


def tool(name: str, *arguments: str | Path) -> str:
    """What a tool of the dev extra says; nothing where it has nothing to say."""
    command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return done.stdout + done.stderr if done.returncode else ""


def test_linters_have_nothing_to_say() -> None:
    assert tool("hadolint", DOCKER / "Dockerfile") == ""
    scripts = [DOCKER / "with-secrets", DOCKER / "make-secrets", DOCKER / "slurm" / "sweep.sbatch"]
    assert tool("shellcheck", *scripts, ROOT / "tests" / "postgres-entrypoint") == ""


def test_compose_fits_its_schema() -> None:
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.Draft202012Validator(json.loads(vendored.read_text("utf-8"))).validate(COMPOSE)


def images() -> list[str]:
    bases = re.findall(r"^ARG PYTHON=(\S+)", DOCKERFILE, re.MULTILINE)
    return [f"python:{bases[0]}", *(service["image"] for service in SERVICES.values())]


def test_images_are_pinned() -> None:
    for image in images():
        name, _, tag = image.rpartition(":")
        assert name, image
        assert re.search(r"\d+\.\d+", tag), image
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"python:${PYTHON}"}
    ours = {image for image in images() if image.startswith("rlsweep")}
    assert ours == {f"rlsweep:{PROJECT['version']}-cpu", f"rlsweep:{PROJECT['version']}-cuda"}


def test_the_image_installs_what_is_locked() -> None:
    locked = dict(line.lower().split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").split())
    for line in re.findall(r"pip install .*", DOCKERFILE):
        assert "--constraint constraints.txt" in line or "--no-deps --no-build-isolation ." in line, line
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["server"], "setuptools"]
    for one in wanted:
        name = re.match(r"[\w.-]+", one)
        assert name
        assert {name[0].lower(), name[0].lower().replace("-", "_")} & set(locked), one
    assert f"torch=={locked['torch']}" in PROJECT["dependencies"]
    python = re.search(r"ARG PYTHON=(\d+\.\d+)", DOCKERFILE)
    assert python
    assert PROJECT["requires-python"] == f">={python[1]}", "the lock is made with the oldest"


def test_the_image_does_not_run_as_root_and_takes_no_secrets() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\S+)", last, re.MULTILINE) == ["1000:1000"]
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert ignored[1] == "*", "what is not named does not go into the build"
    assert all(not line.startswith(("!docker/secrets", "!runs", "!.git")) for line in ignored)
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        for name in source.split():
            assert name == "." or f"!{name}" in ignored
            assert (ROOT / name).exists()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_watched_and_reached_from_this_machine_alone(name: str) -> None:
    service = SERVICES[name]
    ends = [
        one["depends_on"][name]["condition"] for one in SERVICES.values() if name in one.get("depends_on", {})
    ]
    assert "healthcheck" in service or set(ends) == {"service_completed_successfully"}
    if "healthcheck" in service:
        assert set(ends) <= {"service_healthy"}
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), port
        host, inside = port.split(":")[1:]
        assert host == inside, "by this name MLflow is called from both sides"
    assert name == "postgres" or service["cap_drop"] == ["ALL"], "that one begins as root"
    assert "network_mode" not in service
    assert not service.get("privileged")


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_files(name: str) -> None:
    service = SERVICES[name]
    environment = service.get("environment", {})
    for variable, value in environment.items():
        if SECRET.search(variable):
            assert variable.endswith(("_FILE", "_PATH")), variable
            assert Path(value).name in service["secrets"], variable
    configs = [COMPOSE["configs"][one["source"]] for one in service.get("configs", [])]
    text = yaml.dump([service, configs])
    used = {Path(found).name for found in re.findall(r"/run/secrets/([\w.]+)", text)}
    assert used == set(service.get("secrets", []))
    assert used <= set(COMPOSE["secrets"])


def test_no_file_holds_a_password() -> None:
    for path in DOCKER.rglob("*"):
        if path.is_file() and "secrets" not in path.parts:
            assert not re.search(r"://[^\s/@:$]+:[^\s/@]+@", path.read_text("utf-8")), path


@pytest.mark.parametrize("name", ["head", "worker", "cuda-worker"])
def test_ray_knows_the_options(name: str) -> None:
    program, verb, *options = SERVICES[name]["command"]
    assert (program, verb) == ("ray", "start")
    found = start.make_context("start", options).params
    assert found["block"]
    assert found["head"] == (name == "head")
    if name != "head":
        head = start.make_context("start", SERVICES["head"]["command"][2:]).params
        assert found["address"] == f"head:{head['port']}"


def test_postgresql_is_healthy_where_it_can_be_reached() -> None:
    """While its image makes the database, a server answers by its socket alone."""
    assert "--host=127.0.0.1" in SERVICES["postgres"]["healthcheck"]["test"]


def test_mlflow_knows_the_options() -> None:
    program, verb, *options = SERVICES["mlflow"]["command"]
    assert (program, verb) == ("mlflow", "server")
    found = server.make_context("server", options).params
    assert found["app_name"] == "basic-auth"
    hosts = found["allowed_hosts"].split(",")
    assert SERVICES["head"]["environment"]["MLFLOW_TRACKING_URI"] == f"http://{hosts[0]}"
    settings = configparser.ConfigParser()
    settings.read_string(COMPOSE["configs"]["mlflow_auth"]["content"])
    assert settings["mlflow"]["database_uri"] == found["backend_store_uri"]
    assert settings["mlflow"]["admin_username"] == "admin"


def read_by(variable: str) -> bool:
    """Whether rlsweep, Ray, MLflow, boto3, Grafana or PostgreSQL's image reads a variable."""
    if variable.endswith("_FILE") and not variable.startswith(("POSTGRES_", "GF_")):
        listed = (DOCKER / "with-secrets").read_text("utf-8")
        return variable.removesuffix("_FILE") in re.findall(r"[A-Z_]{4,}", listed)
    if variable.startswith("MLFLOW_"):
        return hasattr(mlflow.environment_variables, variable)
    if variable.startswith("RAY_"):
        return variable.encode() in sources_of_ray()
    others = ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    image = ("POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD_FILE", "POSTGRES_INITDB_ARGS")
    return variable in (*others, *image, *OF_GRAFANA, "RLSWEEP_STORAGE")


@cache
def sources_of_ray() -> bytes:
    root = Path(ray.__file__).parent
    modules = ("job/job_supervisor.py", "metrics/metrics_head.py")
    names = ["_raylet.so", *(f"dashboard/modules/{module}" for module in modules)]
    places = [*map(root.joinpath, names), *(root / "_private" / "authentication").glob("*.py")]
    return b"".join(place.read_bytes() for place in places)


@pytest.mark.parametrize("name", SERVICES)
def test_somebody_reads_each_variable(name: str) -> None:
    assert [one for one in SERVICES[name].get("environment", {}) if not read_by(one)] == []


def test_secrets_are_made_once_and_reach_a_command(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    subprocess.run([DOCKER / "make-secrets", folder], check=True, capture_output=True)
    made = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert len(set(made.values())) == len(made)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (identity,) = json.loads(made["s3_identities.json"])["identities"]
    assert identity["credentials"][0]["secretKey"] == made["s3_secret_access_key"]
    subprocess.run([DOCKER / "make-secrets", folder], check=True, capture_output=True)
    assert {path.name: path.read_text("utf-8") for path in folder.iterdir()} == made

    environment = {**os.environ, "PGPASSWORD_FILE": str(folder / "postgres_password")}
    run = [DOCKER / "with-secrets", "sh", "-c", 'echo "$PGPASSWORD${PGPASSWORD_FILE:-}"']
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == made["postgres_password"]
    (folder / "postgres_password").write_text("")
    assert subprocess.run(run, env=environment, capture_output=True).returncode == 78


GB = 10**9
MACHINES = [8 * GB, 30 * GB, 40 * GB, 64 * GB, 2000 * GB]


@pytest.mark.parametrize("memory", MACHINES)
@pytest.mark.parametrize("name", ["head", "worker", "cuda-worker"])
def test_rays_object_store_fits_into_shared_memory(
    name: str, memory: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    size = re.fullmatch(r"(\d+)gb", SERVICES[name]["shm_size"])
    assert size
    monkeypatch.setattr(ray._private.utils, "get_shared_memory_bytes", lambda: int(size[1]) * 2**30)
    monkeypatch.setattr(ray._common.utils, "get_system_memory", lambda: memory)
    wanted = ray._private.utils.resolve_object_store_memory(memory)
    folder, _, _ = ray._private.services.determine_plasma_store_config(wanted, str(tmp_path))
    assert folder == "/dev/shm"


def test_a_head_that_cannot_stop_its_jobs_is_stopped_all_the_same(tmp_path: Path) -> None:
    """A hook that fails ends `docker compose down`."""
    (hook,) = SERVICES["head"]["pre_stop"]
    (tmp_path / "stop-jobs").write_text('#!/bin/sh\necho "$@"; exit 1\n')
    (tmp_path / "stop-jobs").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(hook["command"], env=path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "http://127.0.0.1:8265\n")


def test_a_login_shell_finds_the_programs() -> None:
    """Ray's cluster launcher starts those; Debian's /etc/profile sets PATH anew, and then reads profile.d."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    (path,) = re.findall(r"^ENV (PATH=\S+)", last, re.MULTILINE)
    assert re.findall(r"echo '(.*)' > /etc/profile\.d/\w+\.sh", last) == [path]


def test_the_head_of_rays_launcher_has_what_it_starts_workers_by() -> None:
    installed = re.search(r"apt-get install .*--no-install-recommends ([\w -]+\w)", DOCKERFILE)
    assert installed
    runner = Path(ray.__file__).parent / "autoscaler" / "_private" / "command_runner.py"
    programs = set(re.findall(r'\["(ssh|rsync)"', runner.read_text("utf-8")))
    assert programs == {"ssh", "rsync"}
    assert {"openssh-client", "rsync"} <= set(installed[1].split())


CLIENT = """
import json, os
from pathlib import Path
from types import SimpleNamespace

SEEN = Path(os.environ["SEEN"])


class Status(str):
    def is_terminal(self):
        return self in ("STOPPED", "FAILED")


def job(name, pid):
    ended = [one for one in ("STOPPED", "FAILED") if (SEEN / f"{name}-{one}").exists()]
    driver = SimpleNamespace(pid=str(pid)) if pid else None
    return SimpleNamespace(submission_id=name, status=Status(*ended or ["RUNNING"]), driver_info=driver)


class JobSubmissionClient:
    def __init__(self, address):
        (SEEN / "address").write_text(address)

    def list_jobs(self):
        (SEEN / "none-FAILED").touch()
        sweep = job("sweep", int(os.environ["DRIVER"]))
        return [sweep, job("none", None), SimpleNamespace(submission_id=None)]

    def stop_job(self, name):
        (SEEN / f"{name}-STOPPED").touch()
"""
"""Of Ray's jobs: one that runs, one without a driver that has ended, and somebody's driver that is no job."""


@pytest.mark.parametrize("option", ["--signal", ""])
def test_jobs_are_stopped_by_ray_or_fail_by_a_signal(option: str, tmp_path: Path) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").touch()
    (tmp_path / "ray" / "job_submission.py").write_text(CLIENT)
    trap = f"trap 'echo told >> {tmp_path}/told; sleep 2; touch {tmp_path}/sweep-FAILED; exit 143' TERM"
    driver = subprocess.Popen(["bash", "-c", f"{trap}; touch {tmp_path}/up; while :; do sleep 0.1; done"])
    try:
        wait_until((tmp_path / "up").exists, driver)
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "SEEN": str(tmp_path)}
        command = [sys.executable, str(DOCKER / "stop-jobs"), *option.split(), "http://127.0.0.1:1234"]
        subprocess.run(command, env={**environment, "DRIVER": str(driver.pid)}, check=True)
        assert (tmp_path / "address").read_text() == "http://127.0.0.1:1234"
        if option:
            assert driver.wait() == 143
            assert (tmp_path / "told").read_text() == "told\n", "a second signal would end the sweep at once"
            assert not (tmp_path / "sweep-STOPPED").exists()
        else:
            assert driver.poll() is None
            assert (tmp_path / "sweep-STOPPED").exists()
    finally:
        driver.kill()
        driver.wait()
