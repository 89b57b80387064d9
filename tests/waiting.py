"""Waiting for something that a process brings about, on machines of any speed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEADLINE_SECONDS = 600.0


def wait_until(
    condition: Callable[[], object], process: subprocess.Popen[Any] | None = None, log: Path | None = None
) -> None:
    """Until something holds; a process given must live so long, or what it said (or its log) is shown."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(log.read_text() if log else process.communicate())
        assert time.monotonic() < deadline, log.read_text() if log else condition
        time.sleep(0.1)
