"""The command line in the process of the tests, where everything is imported already."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rlsweep.cli import main

ROOT = Path(__file__).parents[1]


def rlsweep(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call `rlsweep` with variables beside those of the environment.

    Returns:
        Exit code, stdout and stderr, as of a process. There is no traceback in them.
    """
    out, messages, code = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(messages),
    ):
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", ["rlsweep", *arguments])
        for name, value in environment.items():
            patch.setenv(name, value)
        warnings = logging.StreamHandler(messages)  # pytest takes them from stderr
        warnings.setLevel(logging.WARNING)
        logging.getLogger().addHandler(warnings)
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            logging.getLogger().removeHandler(warnings)
    assert "Traceback" not in messages.getvalue(), messages.getvalue()
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), messages.getvalue())
