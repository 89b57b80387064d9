"""Services of docker/compose.yaml as processes of this machine, where no Docker runs.

Commands, entry points, environment, secrets, configs, health checks, what waits for what and what is run
before a service is stopped are read out of the file. What else a container has is made here: a home, a
temporary folder of Ray's and a tree of processes of its own, whose first one passes signals on and reaps
orphans, as Docker's does with `init: true`; with it all of them end. It needs root, as Docker does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from compose_file import DOCKER, compose_file, image_environment
from waiting import wait_until

INIT = """
mount --bind "$1" "$2" || exit 1
shift 2
"$@" &
trap 'kill -TERM $!' TERM
wait $!
ended=$?
if [ $ended -eq 143 ]; then wait $!; ended=$?; fi  # a shell stops waiting when it is told to end
exit $ended
"""
APART = ("unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "sh", "-c", INIT, "init")
"""The first process of a service: it sees its own folder in the place of another, and its own processes."""


@dataclass(frozen=True)
class Image:
    """What is here in the place of an image.

    Attributes:
        environment: that it sets.
        entrypoint: that it has, where the file says none.
        command: of another program, instead of the service's; it gets none of its secrets.
        is_healthy: whether that one is.
    """

    environment: Mapping[str, str]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    is_healthy: Callable[[], bool] | None = None

    @classmethod
    def ours(cls) -> Image:
        """The one of docker/Dockerfile: this checkout, and the Python that runs the test."""
        path = f"{Path(sys.executable).parent}:{DOCKER}:{os.environ['PATH']}"
        return cls({"PATH": path, "PYTHONPATH": str(DOCKER.parent), **image_environment()})


@dataclass(frozen=True)
class Running:
    """A service that was started.

    Attributes:
        service: as it stands in the file.
        environment: of its processes.
        process: which has started the first of them.
        log: what they say.
    """

    service: Mapping[str, Any]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]
    log: Path

    def processes(self) -> list[psutil.Process]:
        """All that live, the first one first."""
        alive = self.process.poll() is None
        return psutil.Process(self.process.pid).children(recursive=True) if alive else []

    def is_healthy(self) -> bool:
        """What the file's health check says."""
        kind, *command = self.service["healthcheck"]["test"]
        assert kind == "CMD"
        return subprocess.run(command, env=self.environment, capture_output=True).returncode == 0

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the first process, and wait until all have ended."""
        for first in self.processes()[:1]:
            first.send_signal(number)
        self.process.wait()


@dataclass
class Services:
    """Those of the file that run here.

    Attributes:
        folder: of what they write; its path must be short, for Ray's sockets lie there.
        secrets: folder that docker/make-secrets has filled before a service needs it.
        variables: of the file.
        images: service -> what is here in the place of its image; ours where nothing is said.
    """

    folder: Path
    secrets: Path
    variables: Mapping[str, str]
    images: Mapping[str, Image]
    running: dict[str, Running] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """A line of the log."""
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def up(self, service: str, name: str = "", **variables: str) -> Running:
        """Start a service and, before it, what it waits for, as healthy or done as the file wants each.

        Args:
            service: of the file.
            name: of this one, where there are several.
            variables: of the file, for this one alone.
        """
        name, image = name or service, self.images.get(service) or Image.ours()
        own = self.folder / name
        file = compose_file({**self.variables, "SECRETS_AT": str(own / "secrets"), **variables})
        for needed in file["services"][service].get("depends_on", {}):
            if needed not in self.running:
                self.up(needed)
        running = self.running[name] = self._start(service, own, file, image)
        command = " ".join(running.service["command"]).replace("\n", " ")[:80]
        if "healthcheck" in running.service:
            wait_until(image.is_healthy or running.is_healthy, running.process, running.log)
            self.say(f"{name} is healthy: {' '.join(image.command) or command} …")
        else:
            assert running.process.wait() == 0, running.log.read_text()
            self.say(f"{name} is done: {command} …")
        return running

    def kill(self, name: str) -> int:
        """SIGKILL to all processes of a service; how many there were."""
        running = self.running[name]
        processes = running.processes()
        running.tell(signal.SIGKILL)
        psutil.wait_procs(processes)
        return len(processes)

    def stop(self, name: str) -> None:
        """As `docker compose stop` does: what is to be run before, then SIGTERM."""
        running = self.running[name]
        for hook in running.service.get("pre_stop", []):  # run as by `exec`, without the entry point
            subprocess.run(hook["command"], env=running.environment, check=True)
        running.tell(signal.SIGTERM)

    def down(self) -> None:
        """Kill all that still run."""
        for name in reversed(self.running):
            self.kill(name)

    def _start(self, service: str, own: Path, file: Mapping[str, Any], image: Image) -> Running:
        description = file["services"][service]
        rays = self.folder / "ray"
        for folder in (own / "home", own / "ray", own / "secrets", rays):
            folder.mkdir(parents=True, exist_ok=True)
        for secret in () if image.command else description.get("secrets", []):
            shutil.copyfile(self.secrets / secret, own / "secrets" / secret)
        for config in description.get("configs", []):
            Path(config["target"]).write_text(file["configs"][config["source"]]["content"], "utf-8")
        environment = {
            "HOME": str(own / "home"),
            "RAY_TMPDIR": str(rays),
            **image.environment,
            **description.get("environment", {}),
        }
        entrypoint = image.entrypoint or description.get("entrypoint", [])
        command = [*APART, own / "ray", rays, *(image.command or (*entrypoint, *description["command"]))]
        log = own / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, cwd=own)
        return Running(description, environment, process, log)
