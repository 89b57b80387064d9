"""Where the programs of benchmarks/ print, and the Python of the peers' environment."""

from __future__ import annotations

import sys

from rich.console import Console

from benchmarks import ROOT

PEERS = ROOT / ".venv-bench" / "bin" / "python"

messages = Console(stderr=True, width=None if sys.stderr.isatty() else 160, highlight=False)
data = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
"""stderr and stdout."""
