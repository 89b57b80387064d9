"""How a trial stands, in words: `stopped early by asha at 1.2M env steps`, `failed (environment): …`."""

from __future__ import annotations

import re
from pathlib import Path

from rlsweep.store.credentials import without_credentials
from rlsweep.store.failures import read_failures
from rlsweep.store.manifest import FAILED, STOPPED, TrialRecord


def in_words(record: TrialRecord, scheduler: str, env_steps: int, folder: Path) -> str:
    """How a trial stands.

    Args:
        record: of the trial.
        scheduler: type of the sweep's, as in its spec.
        env_steps: at the trial's last row.
        folder: of the trial, with its failures.json.
    """
    if record.status == STOPPED:
        return f"stopped early by {scheduler} at {short_count(env_steps)} env steps"
    if record.status == FAILED and (failures := read_failures(folder)):
        return str(failures[-1])
    return record.status


def error_reason(text: str) -> str:
    """The last exception of a trace that has a message: `ValueError: the environment broke`.

    Of a process that died, Ray's word for it: `its worker process has died`.
    """
    found = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception): .+)$", text, flags=re.MULTILINE)
    died = re.search(r"^The actor is dead because (.+?)\.(?= |$)", text, flags=re.MULTILINE)
    last_line = (text.strip() or "no reason was kept").splitlines()[-1]
    return without_credentials(str(found[-1]) if found else died[1] if died else last_line)


def short_count(count: int) -> str:
    """1234567 -> `1.23M`, three digits of it."""
    for size, suffix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g}{suffix}"
    return str(count)
