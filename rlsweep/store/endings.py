"""How a trial stands, in words: `stopped early by asha at 1.2M env steps`, `failed: ValueError: …`."""

from __future__ import annotations

import re
from pathlib import Path

from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import FAILED, STOPPED, TrialRecord


def in_words(record: TrialRecord, scheduler: str, env_steps: int, folder: Path) -> str:
    """How a trial stands.

    Args:
        record: of the trial.
        scheduler: type of the sweep's, as in its spec.
        env_steps: at the trial's last row.
        folder: of the trial, with its error.txt.
    """
    if record.status == STOPPED:
        return f"stopped early by {scheduler} at {short_count(env_steps)} env steps"
    error = folder / RunLayout.ERROR_TXT
    if record.status == FAILED and error.is_file():
        return f"failed: {error_reason(error.read_text('utf-8', errors='replace'))}"
    return record.status


def error_reason(text: str) -> str:
    """The last exception of a trace that has a message: `ValueError: the environment broke`."""
    found = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception): .+)$", text, flags=re.MULTILINE)
    return str(found[-1]) if found else (text.strip() or "no reason was kept").splitlines()[-1]


def short_count(count: int) -> str:
    """1234567 -> `1.23M`, three digits of it."""
    for size, suffix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g}{suffix}"
    return str(count)
