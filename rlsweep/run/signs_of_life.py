"""Signs of life of whoever writes to a run: in its folder, or behind the URI of its storage."""

from __future__ import annotations

import getpass
import json
import os
import platform
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from rlsweep.errors import PreflightError, RunError
from rlsweep.spec.quantities import duration
from rlsweep.store.layout import RunLayout
from rlsweep.store.remote import Remote

SETTLING_SECONDS = 2.0
"""After which of two that took over a run at once, in a storage without locks, the last one has it."""


@dataclass(frozen=True)
class Owner:
    """Who writes to a run.

    Attributes:
        user, host, pid: of the process.
        started: Unix time in seconds.
        system: in which a pid means the same process; empty where that cannot be said. Containers may share a
            host's name.
    """

    user: str
    host: str
    pid: int
    started: float
    system: str = ""

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(getpass.getuser(), platform.node(), os.getpid(), time.time(), _system())

    @property
    def is_of_this_system(self) -> bool:
        """Whether its pid can be looked up here."""
        return self.system == _system() if self.system else self.host == platform.node()

    @classmethod
    def read(cls, path: Path) -> Owner | None:
        """The owner that a file names; None where there is no such file, or it is cut off."""
        try:
            return cls.parse(path.read_bytes())
        except OSError:
            return None

    @classmethod
    def parse(cls, content: bytes) -> Owner | None:
        """The owner that such a file's content names; None where it is cut off."""
        try:
            return cls(**json.loads(content))
        except (ValueError, TypeError):
            return None

    def to_json(self) -> bytes:
        """What stands in such a file."""
        return (json.dumps(asdict(self)) + "\n").encode()

    def __str__(self) -> str:
        since = duration(max(0.0, time.time() - self.started))
        return f"process {self.pid} of {self.user} on {self.host}, since {since}"


def _system() -> str:
    """Of Linux: which start of which machine, and which namespace of pids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


class SignsOfLife(Protocol):
    """Where an owner leaves its signs."""

    def owner(self) -> Owner | None:
        """Who left the last one; None where nobody has, or has taken leave."""

    def silent_seconds(self) -> float:
        """Since the last one."""

    def begin(self) -> None:
        """Leave the first one of this process.

        Raises:
            PreflightError: that cannot be done, or another process was faster.
        """

    def beat(self) -> bool:
        """Leave another one; whether this process still has the run.

        Raises:
            OSError, RunError: that cannot be done.
        """

    def end(self) -> None:
        """Take leave."""


class SignsInFolder:
    """Signs of life in a folder: the time of change of `.owner.json`."""

    def __init__(self, layout: RunLayout) -> None:
        self._path = layout.owner
        self._me = Owner.here()

    def owner(self) -> Owner | None:
        return Owner.read(self._path)

    def silent_seconds(self) -> float:
        with tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=".clock-") as probe:
            return Path(probe.name).stat().st_mtime - self._path.stat().st_mtime

    def begin(self) -> None:
        partial = self._path.with_suffix(".partial")
        try:
            partial.write_bytes(self._me.to_json())
            partial.replace(self._path)
        except OSError as error:
            raise PreflightError(f"{self._path.parent} cannot be written to: {error}") from None

    def beat(self) -> bool:
        if self.owner() not in (self._me, None):  # None: deleted, and taken over by nobody
            return False
        os.utime(self._path)
        return True

    def end(self) -> None:
        if self.owner() == self._me:
            self._path.unlink(missing_ok=True)


class SignsInRemote:
    """Signs of life behind a URI, where there are no locks: `.owner.json`, written again and again."""

    NAME = ".owner.json"

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._me = Owner.here()

    def owner(self) -> Owner | None:
        content = self._remote.read(self.NAME)
        return Owner.parse(content) if content is not None else None

    def silent_seconds(self) -> float:
        probe = f".clock-{uuid.uuid4().hex}"
        self._remote.write(probe, b"")
        stamps = self._remote.stamps([probe, self.NAME])
        self._remote.delete(probe)
        return stamps[probe].seconds - stamps[self.NAME].seconds if self.NAME in stamps else 0.0

    def begin(self) -> None:
        try:
            self._remote.write(self.NAME, self._me.to_json())
            time.sleep(SETTLING_SECONDS)
            owner = self.owner()
        except RunError as error:
            raise PreflightError(str(error)) from None
        if owner != self._me:
            raise PreflightError(f"{self._remote.uri} is in use by {owner}")

    def beat(self) -> bool:
        if self.owner() != self._me:
            return False
        self._remote.write(self.NAME, self._me.to_json())
        return True

    def end(self) -> None:
        if self.owner() == self._me:
            self._remote.delete(self.NAME)
