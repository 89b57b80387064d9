"""`rlsweep doctor` on a storage behind a URI: whether it answers, and who writes to its runs."""

from __future__ import annotations

from rlsweep.errors import RunError
from rlsweep.run.doctor_finding import Finding, Level, counted
from rlsweep.run.lock import DEAD_SECONDS
from rlsweep.run.signs_of_life import SignsInRemote
from rlsweep.store.layout import Storage
from rlsweep.store.remote import Remote

SUBJECT = "runs"


def remote_findings(storage: Storage, remote: Remote) -> list[Finding]:
    """One finding for each run that somebody writes to or has died over, one for all others."""
    try:
        names = storage.run_names()
        told = [finding for name in names for finding in _writer(name, remote.at(name))]
    except RunError as error:
        remedy = "mend the address or the keys: AWS_ENDPOINT_URL, AWS_PROFILE, AWS_ACCESS_KEY_ID, …"
        return [Finding(Level.PROBLEM, SUBJECT, str(error), remedy)]
    at_rest = f"{counted(len(names) - len(told), 'run')} at {storage} in nobody's use"
    return [*told, Finding(Level.OK, SUBJECT, at_rest if names else f"{storage} answers; it has no run")]


def _writer(name: str, run: Remote) -> list[Finding]:
    signs = SignsInRemote(run)
    owner = signs.owner()
    if owner is None:
        return []
    silent_seconds = signs.silent_seconds()
    if silent_seconds < DEAD_SECONDS:
        return [Finding(Level.OK, SUBJECT, f"{name} is in use by {owner}")]
    text = f"{name} was left by {owner}, silent for {silent_seconds:.0f} s"
    remedy = "run the same `rlsweep run …` again, anywhere: it goes on from the last checkpoints"
    return [Finding(Level.WARNING, SUBJECT, text, remedy)]
