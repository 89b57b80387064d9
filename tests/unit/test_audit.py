"""`make audit` says whether anything was audited, whatever pip-audit makes of its surroundings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

FAKE = """
import pathlib, sys
report = {report!r}
if report is not None:
    pathlib.Path(sys.argv[sys.argv.index("--output") + 1]).write_text(report)
sys.stderr.write({message!r})
sys.exit({code})
"""

CLEAN = {"name": "alpha", "version": "1.0", "vulns": []}
BAD = {
    "name": "beta",
    "version": "2.0",
    "vulns": [
        {"id": "PYSEC-1", "fix_versions": ["2.1", "3.0"], "aliases": []},
        {"id": "PYSEC-2", "fix_versions": [], "aliases": []},
    ],
}
SKIPPED = {"name": "gamma", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def audit(folder: Path, packages: list[dict[str, Any]] | None, message: str = "", code: int = 0) -> Any:
    """Runs it with something else in the place of pip-audit."""
    report = None if packages is None else json.dumps({"dependencies": packages, "fixes": []})
    (folder / "pip_audit.py").write_text(FAKE.format(report=report, message=message, code=code))
    command = [sys.executable, str(ROOT / ".ci" / "audit.py")]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_what_has_no_known_vulnerability(tmp_path: Path) -> None:
    done = audit(tmp_path, [CLEAN, SKIPPED])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "1 packages audited, 0 known vulnerabilities",
        "not in the database: gamma",
    ]


def test_a_vulnerability_is_named_and_fails(tmp_path: Path) -> None:
    done = audit(tmp_path, [CLEAN, BAD], code=1)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "beta 2.0: PYSEC-1, fixed in 2.1, 3.0",
        "beta 2.0: PYSEC-2, not fixed yet",
        "2 packages audited, 2 known vulnerabilities",
    ]


def test_a_mirror_that_knows_nothing_is_no_database(tmp_path: Path) -> None:
    """pip-audit takes this for an audit without a finding."""
    done = audit(tmp_path, [SKIPPED, SKIPPED], message="No known vulnerabilities found")
    assert done.returncode == 0
    assert done.stdout.startswith("nothing was audited: whoever answered for the database knows none of 2")


@pytest.mark.parametrize(
    "message",
    [
        "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed",
        "Traceback …\nrequests.exceptions.ConnectionError: Max retries exceeded",
    ],
)
def test_a_database_that_is_out_of_reach_is_said_and_no_failure(tmp_path: Path, message: str) -> None:
    done = audit(tmp_path, None, message, code=1)
    assert done.returncode == 0
    assert done.stdout.strip().endswith("cannot be reached from here")


def test_every_other_failure_is_one(tmp_path: Path) -> None:
    done = audit(tmp_path, None, "pip-audit: error: unrecognized arguments", code=2)
    assert done.returncode == 2
    assert "unrecognized arguments" in done.stderr
