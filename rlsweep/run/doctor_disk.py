"""Room for runs and for Ray's files, old sessions of Ray, and the shared memory of its object store."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from rlsweep.run.doctor_finding import KIB, Finding, Level, counted, size_text
from rlsweep.run.doctor_process_facts import read_processes
from rlsweep.run.volume import Volume, read_volume

SUBJECT = "disk"
SHARED_MEMORY = Path("/dev/shm")
GIB = KIB**3

LITTLE_FREE_BYTES = 10 * GIB
TOO_LITTLE_FREE_BYTES = GIB
FULL_PERCENT = 95.0
"""Beyond it Ray spills no more objects to that disk (local_fs_capacity_threshold)."""

MANY_SESSION_BYTES = 5 * GIB
MAX_SECONDS = 4.0
"""For looking at old sessions: a machine may have thousands of them."""

OBJECT_STORE_SHARE = 0.3
OBJECT_STORE_BYTES = 10_000_000_000
"""Ray's object store takes that share of the memory that is available; where shared memory has less room than
that and than those bytes, it lies in a file on disk (ray/_private/utils.py, services.py)."""


@dataclass(frozen=True)
class Session:
    """A folder that a Ray has left, or still uses."""

    name: str
    size_bytes: int
    is_used: bool


def disk_findings(storage: Path, ray_folder: Path) -> list[Finding]:
    """Look at the disks of the storage and of Ray's temp folder, and at shared memory."""
    processes = read_processes().values()
    sessions, is_complete = read_sessions(ray_folder, {one.session for one in processes})
    findings = [
        judge_volume(read_volume(storage), "the storage"),
        judge_volume(read_volume(ray_folder), "Ray's temp folder"),
        judge_sessions(ray_folder, sessions, is_complete),
    ]
    if SHARED_MEMORY.is_dir():
        is_ray_there = any(one.ray_name == "raylet" for one in processes)
        plasma = [] if is_ray_there else sorted(SHARED_MEMORY.glob("plasma*"))
        memory_bytes = psutil.virtual_memory().available
        findings += judge_shared_memory(read_volume(SHARED_MEMORY), memory_bytes, plasma)
    return findings


def read_sessions(ray_folder: Path, used: Iterable[str]) -> tuple[list[Session], bool]:
    """The sessions in Ray's temp folder, and whether there was time to look at all of them."""
    names, deadline = set(used), time.monotonic() + MAX_SECONDS
    found: list[Session] = []
    for folder in sorted(ray_folder.glob("session_[0-9]*")):
        if time.monotonic() > deadline:
            return found, False
        found.append(Session(folder.name, _size_bytes(folder), folder.name in names))
    return found, True


def judge_volume(volume: Volume, whose: str) -> Finding:
    """Whether there is room, and leave to use it."""
    place = f"{whose} ({volume.folder})"
    text = f"{place} has {size_text(volume.free_bytes)} free of {size_text(volume.total_bytes)}"
    make_room = f"make room: du -xh --max-depth=1 {shlex.quote(str(volume.folder))} | sort -h"
    if not volume.is_writable:
        remedy = "give this user the right to write there, or name another folder: --storage, RAY_TMPDIR"
        return Finding(Level.PROBLEM, SUBJECT, f"{place} is no folder that this user may write into", remedy)
    if volume.free_bytes < TOO_LITTLE_FREE_BYTES:
        return Finding(Level.PROBLEM, SUBJECT, text, make_room)
    if volume.free_bytes < LITTLE_FREE_BYTES or volume.used_percent > FULL_PERCENT:
        return Finding(
            Level.WARNING, SUBJECT, f"{text}; a disk that is {FULL_PERCENT:g} % full stops Ray", make_room
        )
    return Finding(Level.OK, SUBJECT, text)


def judge_sessions(ray_folder: Path, sessions: Sequence[Session], is_complete: bool = True) -> Finding:
    """What old sessions take, and the command that removes those and no other."""
    used = [one for one in sessions if one.is_used]
    old = [one for one in sessions if not one.is_used]
    old_bytes = sum(one.size_bytes for one in old)
    bound = "" if is_complete else "at least "
    count = counted(len(old), "old session")
    if not old:
        return Finding(Level.OK, SUBJECT, f"no old session of Ray in {ray_folder}, {len(used)} in use")
    text = (
        f"{bound}{count} of Ray in {ray_folder} that no living process uses: {size_text(old_bytes)}; "
        f"{len(used)} in use"
    )
    kept = "".join(f" ! -name {one.name}" for one in used)
    remedy = (
        f"those older than an hour go with: find {shlex.quote(str(ray_folder))} -maxdepth 1 -type d "
        f"-name 'session_2*' -mmin +60{kept} -exec rm -r {{}} +"
    )
    level = Level.WARNING if old_bytes > MANY_SESSION_BYTES else Level.NOTE
    return Finding(level, SUBJECT, text, remedy)


def judge_shared_memory(volume: Volume, available_bytes: int, plasma: Sequence[Path]) -> list[Finding]:
    """Whether Ray's object store fits into it.

    Args:
        volume: of /dev/shm.
        available_bytes: memory that is free or can be freed.
        plasma: files of object stores that no Ray uses.
    """
    wanted_bytes = min(available_bytes * OBJECT_STORE_SHARE, OBJECT_STORE_BYTES)
    text = f"{volume.folder} has {size_text(volume.free_bytes)} free of {size_text(volume.total_bytes)}"
    findings = [Finding(Level.OK, SUBJECT, text)]
    if volume.free_bytes < wanted_bytes:
        slow = (
            f"{text}; Ray wants {size_text(wanted_bytes)} for its objects and will keep them on disk, slowly"
        )
        remedy = f"in Docker: --shm-size={wanted_bytes * 1.1 / GIB:.0f}g; elsewhere mount it larger"
        findings = [Finding(Level.WARNING, SUBJECT, slow, remedy)]
    if plasma:
        left = f"{counted(len(plasma), 'file')} of Ray's object store lie in {volume.folder}, and no Ray runs"
        remedy = f"rm {' '.join(shlex.quote(str(path)) for path in plasma)}"
        findings.append(Finding(Level.WARNING, SUBJECT, left, remedy))
    return findings


def _size_bytes(folder: Path) -> int:
    """What its files take on disk; some may go while it is read."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH118
            except OSError:
                continue
    return total
