"""Waiting for something that a process brings about, on machines of any speed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

DEADLINE_SECONDS = 300.0


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until something holds; the process must live so long."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
