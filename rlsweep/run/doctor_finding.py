"""One thing that `rlsweep doctor` has found: how bad it is, what it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

KIB = 2**10


class Level(StrEnum):
    """How bad it is; only a problem keeps a sweep from running well."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing about this machine.

    Attributes:
        level: how bad it is.
        subject: versions, processes, disk, ports, gpu, cluster or runs.
        text: what was found, a plain sentence.
        remedy: what to do about it, often a command; empty where all is well.
    """

    level: Level
    subject: str
    text: str
    remedy: str = ""


def size_text(count_bytes: float) -> str:
    """`126877696` -> `121 MiB`."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    for unit in units:
        if count_bytes < KIB or unit == units[-1]:
            break
        count_bytes /= KIB
    return f"{count_bytes:.1f} {unit}" if count_bytes < 10 and unit != "B" else f"{count_bytes:.0f} {unit}"


def counted(count: int, noun: str) -> str:
    """`1 run`, `2 runs`, `3 processes`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"
