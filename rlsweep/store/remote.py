"""A folder behind a URI: an object store, or anything else that pyarrow or fsspec can reach.

`s3://bucket/runs`, `gs://…`, `abfs://…`, `hdfs://…`; `fsspec+PROTOCOL://…` for what fsspec alone knows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from rlsweep.errors import PreflightError, RunError, UsageError
from rlsweep.store.credentials import without_credentials

if TYPE_CHECKING:  # it takes a moment to import, and most storages are folders
    from pyarrow.fs import FileInfo, FileSystem

TRANSFERS = 16
"""Files on their way at once: a storage answers late, but many at a time."""

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_remote(storage: str) -> bool:
    """Whether a storage is named by a URI, and is no path."""
    return _URI.match(storage) is not None


@dataclass(frozen=True)
class Stamp:
    """By which a file that was written again is known.

    Attributes:
        bytes: its size.
        seconds: Unix time of its last change, by the clock of where it lies.
    """

    bytes: int
    seconds: float


class Remote:
    """A folder behind a URI. Names are paths below it, with slashes.

    Every method raises `RunError` where the storage cannot be reached or refuses.
    """

    def __init__(self, uri: str, filesystem: FileSystem, path: str) -> None:
        self.uri = uri
        self._filesystem = filesystem
        self._path = path

    @classmethod
    def open(cls, uri: str) -> Remote:
        """The folder that a URI names. Nobody is asked yet whether it is there.

        Raises:
            UsageError: the URI holds a password, or no library here knows its protocol.
            PreflightError: the protocol is known, and the storage cannot be reached.
        """
        from pyarrow.fs import FileSystem

        if (
            urlsplit(uri).password
            or without_credentials(f"?{urlsplit(uri).query}") != f"?{urlsplit(uri).query}"
        ):
            raise UsageError(
                f"--storage {without_credentials(uri)} was given with a key, which would end up in logs; "
                "leave keys to the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, …)"
            )
        try:
            filesystem, path = FileSystem.from_uri(uri)
        except OSError as error:
            raise PreflightError(f"{uri} cannot be reached: {error}") from None
        except (ValueError, ImportError) as error:
            raise UsageError(f"--storage {uri}: {error}; allowed: a path, s3://…, gs://…, …") from None
        return cls(uri, filesystem, path.rstrip("/"))

    def at(self, name: str) -> Remote:
        """A folder below."""
        return Remote(self.uri_of(name), self._filesystem, self._at(name))

    def uri_of(self, name: str) -> str:
        """The URI of a file or a folder below."""
        folder, mark, query = self.uri.partition("?")
        return f"{folder.rstrip('/')}/{quote(name, safe='/=,+@:')}{mark}{query}"

    def folders(self) -> list[str]:
        """Names of the folders in this one, in their order; none where it is not there itself.

        Raises:
            RunError: nor is the bucket.
        """
        from pyarrow.fs import FileType

        found = sorted(one.base_name for one in self._infos("") if one.type == FileType.Directory)
        bucket = self._path.partition("/")[0]
        if not found and bucket:
            with self._reached():
                if self._filesystem.get_file_info(bucket).type == FileType.NotFound:
                    raise RunError(f"{self.uri}: there is no {bucket!r}")
        return found

    def files(self, under: str = "") -> dict[str, Stamp]:
        """Every file below a folder, by its name from here; none where there is no such folder."""
        found = {}
        for one in self._infos(under, recursive=True):
            if one.is_file:
                found[one.path[len(self._path) + 1 :]] = _stamp(one)
        return found

    def stamps(self, names: Iterable[str]) -> dict[str, Stamp]:
        """Those of some files; of the ones that are there."""
        listed = list(names)
        with self._reached():
            infos = self._filesystem.get_file_info([self._at(name) for name in listed])
        return {name: _stamp(one) for name, one in zip(listed, infos, strict=True) if one.is_file}

    def read(self, name: str) -> bytes | None:
        """A file's content; None where there is none."""
        with self._reached():
            try:
                with self._filesystem.open_input_stream(self._at(name)) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Replace a file."""
        with self._reached():
            self._make_folder_of(name)
            with self._filesystem.open_output_stream(self._at(name)) as stream:
                stream.write(content)

    def fetch(self, name: str, target: Path, there: Stamp | None = None) -> bool:
        """Copy a file from there to here, where it replaces another at once; whether it was there.

        Args:
            name: of it.
            target: what it is to be here.
            there: its stamp, if it is to have that time here too.
        """
        content = self.read(name)
        if content is None:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        partial.write_bytes(content)
        if there is not None:
            os.utime(partial, (there.seconds, there.seconds))
        partial.replace(target)
        return True

    def send(self, source: Path, name: str) -> None:
        """Copy a file from here to there.

        Raises:
            FileNotFoundError: it is not here.
        """
        self.write(name, source.read_bytes())

    def delete(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it; fine where there is none."""
        from pyarrow.fs import FileType

        with self._reached():
            info = self._filesystem.get_file_info(self._at(name))
            if info.type == FileType.Directory:
                self._filesystem.delete_dir(self._at(name))
            elif info.type == FileType.File:
                self._filesystem.delete_file(self._at(name))

    def copy_from(self, source: Remote, name: str, target: str = "") -> None:
        """Copy a folder of the same storage. It does so itself, nothing passes through here.

        Args:
            source: folder that it lies in.
            name: in there.
            target: its name here; the same by default.
        """

        def copy(file: str) -> None:
            place = (target or name) + file[len(name) :]
            with self._reached():
                self._make_folder_of(place)
                self._filesystem.copy_file(source._at(file), self._at(place))

        at_once(copy, source.files(name))

    def move(self, name: str, target: str) -> None:
        """Give a folder another name; where that is cut off in the middle, it stands at both places."""
        self.copy_from(self, name, target)
        self.delete(name)

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}" if name else self._path

    def _infos(self, under: str, *, recursive: bool = False) -> Iterator[FileInfo]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(self._at(under), recursive=recursive, allow_not_found=True)
        with self._reached():
            yield from self._filesystem.get_file_info(selector)

    def _make_folder_of(self, name: str) -> None:
        """Only a file system asks for it: object stores have no folders."""
        if self._filesystem.type_name not in ("s3", "gcs"):
            self._filesystem.create_dir(self._at(name).rpartition("/")[0])

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except RunError:
            raise
        except Exception as error:  # pyarrow raises OSError, what fsspec's file systems do nobody knows
            raise RunError(f"{self.uri}: {without_credentials(str(error))}") from None


def at_once(act: Callable[[str], object], names: Iterable[str]) -> None:
    """Send, fetch or copy many files; raises what one of them has raised."""
    with ThreadPoolExecutor(TRANSFERS) as threads:
        list(threads.map(act, names))


def _stamp(info: FileInfo) -> Stamp:
    return Stamp(int(info.size), info.mtime_ns / 1e9 if info.mtime_ns else 0.0)
