"""A cluster of one node for tests: a real Ray head with a token, on 127.0.0.1, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from loopback import answers, free_port
from waiting import wait_until

TOKEN = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class RayHead:
    """A head that runs.

    Attributes:
        environment: what Ray's clients need, without RAY_ADDRESS.
        address: of the cluster, for drivers.
        dashboard: URL of its dashboard, which takes jobs.
        folder: where it keeps its files.
    """

    environment: dict[str, str]
    address: str
    dashboard: str
    folder: Path


@contextmanager
def ray_head(*options: str, cpus: int = 2, port: int = 0, **variables: str) -> Iterator[RayHead]:
    """A head for the time of a block.

    Args:
        options: more of `ray start`.
        cpus: of its node.
        port: of the cluster; 0 takes a free one.
        variables: more of its environment.
    """
    with tempfile.TemporaryDirectory(
        prefix="head", dir="/tmp"
    ) as folder:  # the paths of sockets must be short
        port, dashboard_port = port or free_port(), free_port()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_memory_monitor_refresh_ms": "0",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # jobs call rlsweep
        }
        command = [
            *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"),
            *("--port", str(port), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard_port)),
            *("--num-cpus", str(cpus), "--temp-dir", folder, "--disable-usage-stats"),
            *("--dashboard-agent-listen-port", str(free_port())),  # it takes jobs: not another node's
            *options,
        ]
        log = Path(folder) / "head.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                command, env={**environment, **variables}, stdout=stream, stderr=stream
            )
        dashboard = f"http://127.0.0.1:{dashboard_port}"
        try:
            wait_until(lambda: answers(f"{dashboard}/api/version"), process, log)
            yield RayHead(environment, f"127.0.0.1:{port}", dashboard, Path(folder))
        finally:
            children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(timeout=300)
            for child in children:
                if child.is_running():
                    child.kill()
