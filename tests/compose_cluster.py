"""The whole of docker/compose.yaml on 127.0.0.1, and what a laptop and an S3 client see of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from compose_file import DOCKER
from compose_processes import Image, Services
from loopback import answers
from own_network import own_network

ROOT = DOCKER.parent
POSTGRES = Path("/usr/lib/postgresql/15/bin")
S3, MLFLOW, DASHBOARD = "http://127.0.0.1:8333", "http://127.0.0.1:5000", "http://127.0.0.1:8265"
AGENT_PORTS = {"head": 52365, "worker-1": 52366, "worker-2": 52367}
BUCKET = "rlsweep"
ANY = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}


@dataclass(frozen=True)
class Bucket:
    """The bucket of the S3 store."""

    client: Any

    def names(self, prefix: str) -> list[str]:
        """Of its objects that begin so."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def fetch(self, prefix: str, folder: Path) -> None:
        """Lay its objects that begin so into a folder, under their names."""
        for name in self.names(prefix):
            if not name.endswith("/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                self.client.download_file(BUCKET, name, str(folder / name))


@dataclass(frozen=True)
class Cluster:
    """What runs, and how it is reached.

    Attributes:
        services: of the file.
        bucket: of runs and of MLflow's artifacts.
        project: a folder with specs on somebody's laptop.
        laptop: the environment of that one, who has the head's address, Ray's token and the bucket's keys.
    """

    services: Services
    bucket: Bucket
    project: Path
    laptop: dict[str, str]

    def ray_status(self, token: str = "") -> str:
        """What `ray status` says to somebody with this token; its own by default."""
        command = [str(Path(sys.executable).with_name("ray")), "status"]
        token = token or self.secret("ray_token")
        environment = {**self.laptop, "RAY_ADDRESS": "127.0.0.1:6379", "RAY_AUTH_TOKEN": token}
        return subprocess.run(command, env=environment, capture_output=True, text=True).stdout

    def secret(self, name: str) -> str:
        """One that docker/make-secrets has made."""
        return (self.services.secrets / name).read_text("utf-8")

    def rlsweep(self, *arguments: str) -> subprocess.Popen[str]:
        """Somebody on the laptop calls rlsweep."""
        command = [sys.executable, "-c", "from rlsweep.cli import main; main()", *arguments]
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=self.project, env=self.laptop, text=True, **pipe)


@contextmanager
def compose_cluster() -> Iterator[Cluster]:
    """All services of the profile `cpu`, with two workers, in a network of this thread's own."""
    if os.geteuid() != 0 or not POSTGRES.is_dir() or not shutil.which("wget"):
        pytest.skip("needs root, Debian's PostgreSQL 15 and wget")
    with own_network(), tempfile.TemporaryDirectory(prefix="compose-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL does not run as root
        loopback = ("BIND", "S3_HOST", "POSTGRES_HOST", "MLFLOW_HOST", "RAY_HEAD_HOST")
        variables = {**dict.fromkeys(loopback, "127.0.0.1"), "MLFLOW_AUTH_INI": str(folder / "auth.ini")}
        images = {"s3": moto(), "postgres": debian(folder)}
        services = Services(folder, folder / "secrets", variables, images)
        try:
            services.up("s3")
            make_secrets(services.secrets)
            for worker in ("worker-1", "worker-2"):
                start_worker(services, worker)
            yield cluster_of(services)
        finally:
            services.down()


def start_worker(services: Services, name: str) -> None:
    """With a port of its own for Ray's agent, because it shares its network with the others."""
    services.up("worker", name, RAY_AGENT_PORT=str(AGENT_PORTS[name]))


def moto() -> Image:
    """An S3 server instead of SeaweedFS."""
    command = (sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "8333")
    return Image({}, command=command, is_healthy=lambda: answers(f"{S3}/moto-api/"))


def debian(folder: Path) -> Image:
    """Debian's PostgreSQL instead of its image's, with the variables that the image sets."""
    home = folder / "postgres" / "home"
    path = f"{POSTGRES}:{os.environ['PATH']}"
    environment = {"PATH": path, "LANG": "C.UTF-8", "PGDATA": str(home / "data"), "PGHOST": str(home)}
    entrypoint = shutil.copy(ROOT / "tests" / "postgres-entrypoint", folder)  # where its user may read
    return Image(environment, entrypoint=(entrypoint,))


def make_secrets(folder: Path) -> None:
    """Let docker/make-secrets fill a folder in which the keys are those of an account of moto's.

    From then on moto asks everybody for theirs.
    """
    iam = boto3.client("iam", endpoint_url=S3, **ANY)
    iam.create_user(UserName="rlsweep")
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="rlsweep", PolicyName="all", PolicyDocument=policy)
    key = iam.create_access_key(UserName="rlsweep")["AccessKey"]
    folder.mkdir()
    (folder / "s3_access_key_id").write_text(key["AccessKeyId"])
    (folder / "s3_secret_access_key").write_text(key["SecretAccessKey"])
    ask = {"data": b"0", "headers": {"Content-Type": "text/plain"}}
    urllib.request.urlopen(urllib.request.Request(f"{S3}/moto-api/reset-auth", **ask)).close()
    subprocess.run([DOCKER / "make-secrets", folder], check=True, capture_output=True)


def cluster_of(services: Services) -> Cluster:
    """With a laptop that has a home, specs, and no Ray, runs or MLflow of its own."""
    project = services.folder / "laptop" / "project"
    for name in ("sweeps", "search_spaces"):
        shutil.copytree(ROOT / name, project / name)
    keys = {
        name: (services.secrets / f"s3_{name}").read_text() for name in ("access_key_id", "secret_access_key")
    }
    laptop = {
        **Image.ours().environment,
        "HOME": str(project.parent),
        "RAY_ADDRESS": DASHBOARD,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(services.secrets / "ray_token"),
        "RLSWEEP_STORAGE": f"s3://{BUCKET}/runs",
        "AWS_ENDPOINT_URL": S3,
        "AWS_DEFAULT_REGION": "us-east-1",
        **{f"AWS_{name.upper()}": value for name, value in keys.items()},
    }
    client = boto3.client(
        "s3",
        endpoint_url=S3,
        region_name="us-east-1",
        **{f"aws_{name}": value for name, value in keys.items()},
    )
    return Cluster(services, Bucket(client), project, laptop)
