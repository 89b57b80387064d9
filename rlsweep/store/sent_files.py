"""Which files of a run lie in a storage behind a URI too, by their names from the run's folder."""

from __future__ import annotations

from rlsweep.store.layout import RunLayout, is_name

HISTORIES = frozenset(
    {
        *(RunLayout.RESULT_JSON, RunLayout.PROGRESS_CSV, RunLayout.PARAMS_JSON, RunLayout.ERROR_TXT),
        *(RunLayout.FAILURES_JSON, RunLayout.LINEAGE_JSON, RunLayout.DIAGNOSIS_JSON),
    }
)
"""In each trial's folder."""

SPEC, SUPERSEDED = "spec", "superseded"
DERIVED = ("report", "best", "study.log")
"""What can be made again from the rest."""


def is_state(name: str) -> bool:
    """Whether it tells how the run stands: what every machine needs of it."""
    parts = name.split("/")
    if not all(map(is_name, parts)):  # the storage may hold any name
        return False
    match parts:
        case [file]:
            return file in (RunLayout.MANIFEST, f".{RunLayout.MANIFEST}")
        case [folder, file]:
            return folder == SPEC or (folder != SUPERSEDED and file in HISTORIES)
    return False


def is_derived(name: str) -> bool:
    """Whether it is for others to look at."""
    return name.split("/")[0] in DERIVED and not name.endswith(".partial")


def checkpoint_file(name: str) -> tuple[str, str] | None:
    """The checkpoint's folder and the file's name in it; None for a file of no checkpoint."""
    trial_id, _, rest = name.partition("/")
    folder, _, file = rest.partition("/")
    if not file or trial_id == SUPERSEDED or not all(map(is_name, name.split("/"))):
        return None
    return (f"{trial_id}/{folder}", file) if RunLayout.CHECKPOINT.fullmatch(folder) else None
