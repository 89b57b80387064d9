"""Sweeps that begin at the same time in an empty storage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mlflow.tracking import MlflowClient

from rlsweep.store.layout import Storage

OPEN = """
import sys
from pathlib import Path
from rlsweep.run.tracking_store import check_tracking
from rlsweep.store.layout import Storage
print("ready", flush=True)
sys.stdin.readline()
check_tracking(Storage(Path(sys.argv[1])))
"""


def test_one_makes_the_tables_of_mlflow_and_the_others_wait(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert MlflowClient(Storage(tmp_path).tracking_uri).search_experiments()
