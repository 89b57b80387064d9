"""Lines at the end of files, whole or not at all, and lines of JSON read again."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

Record = TypeVar("Record")


class Appender:
    """Appends lines to files.

    What a full disk refuses is written before the next line of its file. A line that a writer before left
    without its end, because it was killed, stays a line of its own.
    """

    def __init__(self) -> None:
        self._waiting: dict[Path, bytes] = {}
        self._known: set[Path] = set()
        self._has_warned = False

    def is_new(self, path: Path) -> bool:
        """Whether nothing has been appended to a file yet."""
        return path not in self._waiting and not path.exists()

    def append(self, path: Path, lines: str) -> None:
        """Add whole lines, which end with a line feed, to a file."""
        self._waiting[path] = self._waiting.get(path, b"") + lines.encode()
        self._write(path)

    def flush(self) -> dict[Path, int]:
        """Write what still waits; returns the files that refuse it, with the number of their lines."""
        for path in list(self._waiting):
            self._write(path)
        return {path: data.count(b"\n") for path, data in self._waiting.items()}

    def _write(self, path: Path) -> None:
        size = 0
        try:
            size = path.stat().st_size if path.exists() else 0
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as stream:
                if size and path not in self._known and not _ends_its_line(path):
                    stream.write(b"\n")
                stream.write(self._waiting[path])
        except OSError as error:
            if path.exists() and path.stat().st_size > size:
                os.truncate(path, size)
            if not self._has_warned:
                self._has_warned = True
                logger.warning("%s cannot be written now, its lines wait: %s", path, error)
            return
        self._known.add(path)
        del self._waiting[path]


def read_lines(path: Path, as_record: Callable[[Any], Record]) -> list[Record]:
    """The lines of JSON in a file, as records; a file that is not there has none.

    Args:
        path: of the file.
        as_record: makes the record of what a line holds. A line is left out where it raises LookupError,
            TypeError or ValueError, as is one that is no JSON: its writer was killed.
    """
    found = []
    for line in path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            found.append(as_record(json.loads(line)))
        except (LookupError, TypeError, ValueError):
            continue
    return found


def _ends_its_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"
