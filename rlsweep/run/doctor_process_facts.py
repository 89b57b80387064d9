"""What the processes of this machine are: read once, judged in `doctor_processes`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_SESSION = re.compile(r"session_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d+_(?P<pid>\d+)")
"""Ray's name of a session: when it began, and the pid that began it (ray/_private/node.py)."""

_ATTRIBUTES = ["pid", "ppid", "cmdline", "uids", "exe", "status", "create_time", "memory_info", "open_files"]

_PROGRAMS = {"raylet", "gcs_server"}
_STEWARDS = {
    "ray/dashboard/dashboard.py": "dashboard",
    "ray/autoscaler/_private/monitor.py": "monitor",
    "ray/_private/log_monitor.py": "log_monitor",
    "ray.util.client.server": "client_server",
}
"""Started by whoever began the session, as the programs are (ray/_private/services.py)."""

_HANDS = {
    "ray/dashboard/agent.py": "DashboardAgent",
    "ray/_private/runtime_env/agent/main.py": "RuntimeEnvAgent",
    "ray/_private/workers/default_worker.py": "worker",
    "ray/_private/workers/setup_worker.py": "worker",
}
"""Started by the raylet, before they have given themselves a title, `ray::…`."""


@dataclass(frozen=True)
class ProcessFacts:
    """One process.

    Attributes:
        pid, parent_pid: its number and that of whoever started it, or has adopted it.
        command: the command line, or the title that it has given itself.
        is_own: it runs for this user.
        is_python: its program is a Python interpreter.
        files: paths of the regular files that it has open; none are seen of another user's.
        age_seconds: since it was started.
        memory_bytes: resident.
    """

    pid: int
    parent_pid: int
    command: tuple[str, ...]
    is_own: bool = True
    is_python: bool = False
    files: tuple[str, ...] = ()
    age_seconds: float = 0.0
    memory_bytes: int = 0

    @property
    def session(self) -> str:
        """The Ray session whose name it was given or whose files it has open; empty for none."""
        matches = (_SESSION.search(word) for word in (*self.command, *self.files))
        return next((match[0] for match in matches if match), "")

    @property
    def is_started_by_raylet(self) -> bool:
        """Whether it is an agent or a worker of Ray."""
        return self.title.startswith("ray::") or bool(self._script(_HANDS))

    @property
    def is_started_with_session(self) -> bool:
        """Whether it is a raylet, GCS, dashboard or monitor of Ray."""
        return Path(self.title).name in _PROGRAMS or bool(self._script(_STEWARDS))

    @property
    def title(self) -> str:
        """The first word of the command."""
        return self.command[0].strip() if self.command else ""

    @property
    def ray_name(self) -> str:
        """`raylet`, `ray::IDLE`, `dashboard`: what it is to Ray."""
        script = self._script(_STEWARDS) or self._script(_HANDS)
        return script or (self.title if self.title.startswith("ray::") else Path(self.title).name)

    def argument(self, name: str) -> str:
        """What the command gives `--name=`; empty where it does not."""
        prefix = f"--{name}="
        return next((one.removeprefix(prefix) for one in self.command if one.startswith(prefix)), "")

    def _script(self, scripts: dict[str, str]) -> str:
        heads = self.command[:4] if self.is_python else ()  # python -u script, python -m module
        return next((name for end, name in scripts.items() if any(one.endswith(end) for one in heads)), "")


def read_processes() -> dict[int, ProcessFacts]:
    """Every process that lives, pid -> facts; zombies have ended and wait for their parents only."""
    found: dict[int, ProcessFacts] = {}
    for pid in psutil.pids():  # process_iter shares its objects between threads
        try:
            told = psutil.Process(pid).as_dict(_ATTRIBUTES)
        except psutil.NoSuchProcess:  # it has ended since
            continue
        if told["status"] != psutil.STATUS_ZOMBIE:
            found[pid] = _facts(told)
    return found


def starter_pid(session: str) -> int:
    """The process that began a session; 0 where its name does not say."""
    match = _SESSION.fullmatch(session)
    return int(match["pid"]) if match else 0


def _facts(told: Mapping[str, Any]) -> ProcessFacts:
    """What psutil tells of a process; None where this user may not know."""
    return ProcessFacts(
        pid=told["pid"],
        parent_pid=told["ppid"] or 0,
        command=tuple(told["cmdline"] or ()),
        is_own=told["uids"] is not None and told["uids"].real == os.getuid(),
        is_python=Path(told["exe"] or "").name.startswith("python"),
        files=tuple(file.path for file in told["open_files"] or ()),
        age_seconds=time.time() - told["create_time"] if told["create_time"] else 0.0,
        memory_bytes=told["memory_info"].rss if told["memory_info"] else 0,
    )
