"""A sweep that begins with what another one has done: its trials that the changed spec still asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rlsweep.plan import Plan
from rlsweep.run.manifest import Continuation, continue_run
from rlsweep.store.folders import copy
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import PENDING, Manifest, MlflowState, TrialRecord

MAX_DIFFERENCES = 20


def fork(
    plan: Plan, source: RunLayout, target: RunLayout, profile: str = "", *, retry_failed: bool = False
) -> Continuation:
    """Lay a plan over another run, and copy the histories and checkpoints of the trials that it keeps.

    Args:
        plan: of the new sweep.
        source: of the run that it begins from, which nobody may be writing to; it stays as it is.
        target: of the new run, which has no manifest yet.
        profile, retry_failed: as for `continue_run`.

    Raises:
        RunError: the source is no run.
    """
    before = Manifest.read(source)
    before = replace(before, mlflow=MlflowState(), trials=[_anew(record) for record in before.trials])
    continuation = continue_run(plan, before, profile, retry_failed=retry_failed)
    kept = [record for record in continuation.manifest.trials if record.status != PENDING]
    for record in kept:
        copy(source, target, record.id)
    manifest = replace(continuation.manifest, forked_from=source.root.name, mlflow=MlflowState())
    return Continuation(manifest, continuation.waiting, superseded=[], lost=[])


def _anew(record: TrialRecord) -> TrialRecord:
    """The same trial, with a run of its own in MLflow."""
    fresh = {name: value for name, value in vars(record).items() if not name.startswith("mlflow")}
    return TrialRecord(**fresh)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two resolved specs say differently: `stop.env_steps: 1000000 -> 500000`."""
    old, new = _leaves(before), _leaves(now)
    found = [
        f"{path}: {_shown(old, path)} -> {_shown(new, path)}"
        for path in sorted({*old, *new})
        if old.get(path) != new.get(path) or (path in old) != (path in new)
    ]
    more = len(found) - MAX_DIFFERENCES
    return [*found[:MAX_DIFFERENCES], *([f"and {more} more"] if more > 0 else [])]


def _leaves(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            found |= _leaves(value, f"{prefix}{key}.")
        else:
            found[prefix + str(key)] = value
    return found


def _shown(leaves: Mapping[str, Any], path: str) -> str:
    return str(leaves[path]) if path in leaves else "not written"
