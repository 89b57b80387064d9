"""A head of Ray with a token, on 127.0.0.1, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from loopback import answers, free_port
from waiting import wait_until

TOKEN = "0123456789abcdef0123456789abcdef"


@contextmanager
def ray_head(*options: str, port: int = 0, **variables: str) -> Iterator[dict[str, str]]:
    """The environment that leads to it: RAY_ADDRESS takes jobs, GCS_ADDRESS drivers; HEAD_FOLDER has logs.

    Args:
        options: more of `ray start`.
        port: of the head, a free one if it is 0.
        variables: more of its environment.
    """
    with tempfile.TemporaryDirectory(prefix="head", dir="/tmp") as folder:  # paths of sockets must be short
        port, dashboard = port or free_port(), free_port()
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
            *("--port", str(port), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard)),
            *("--temp-dir", folder, "--disable-usage-stats"),
            *("--dashboard-agent-listen-port", str(free_port())),  # it takes jobs: not another node's
            *options,
        ]
        with (Path(folder) / "head.log").open("w") as log:
            process = subprocess.Popen(command, env={**environment, **variables}, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{dashboard}"
            wait_until(lambda: answers(f"{url}/api/version"), process, Path(log.name))
            yield {
                **environment,
                "RAY_ADDRESS": url,
                "GCS_ADDRESS": f"127.0.0.1:{port}",
                "HEAD_FOLDER": folder,
            }
        finally:
            children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(timeout=300)
            for child in children:
                if child.is_running():
                    child.kill()
