"""What was read of many histories, kept as Arrow tables: the next reading begins where this one ended."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import pyarrow as pa
from pyarrow import feather

CHECKED_BYTES = 4096
"""Before the remembered offset: where they have changed, the file is another one."""

_META = b"rlsweep"


@dataclass(frozen=True)
class Mark:
    """How far a file was read.

    Attributes:
        offset: in bytes, behind a whole line.
        checksum: of the CHECKED_BYTES before it.
        broken, foreign: lines up to there that gave no row.
    """

    offset: int = 0
    checksum: int = 0
    broken: int = 0
    foreign: int = 0


Marked: TypeAlias = tuple[pd.DataFrame, Mark]
"""The rows of a file up to a mark."""


def checksum(path: Path, offset: int) -> int:
    """Of the CHECKED_BYTES before an offset."""
    with path.open("rb") as stream:
        stream.seek(max(0, offset - CHECKED_BYTES))
        return zlib.crc32(stream.read(min(offset, CHECKED_BYTES)))


def load(folder: Path, paths: Iterable[Path], keys: Sequence[str]) -> dict[Path, Marked]:
    """What was kept of those files that are still the same, up to their marks.

    Args:
        folder: of the memory; may be missing, or damaged.
        paths: of the files.
        keys: that were kept of each row; a memory of other keys is none.
    """
    found: dict[str, Marked] = {}
    for file in sorted(folder.glob("*.feather")):
        try:
            found |= _read(file, keys)
        except (OSError, pa.ArrowInvalid, LookupError, TypeError, ValueError):
            continue
    known = {path: found[name] for path in paths if (name := _name(path)) in found}
    return {path: marked for path, marked in known.items() if _is_same(path, marked[1])}


def save(folder: Path, read: Mapping[Path, Marked], keys: Sequence[str]) -> None:
    """Keep tables in place of what was kept before; where that cannot be, the next reading takes longer."""
    kinds: dict[str, list[tuple[str, pd.DataFrame, Mark]]] = {}  # a column has one type in a file
    for path, (table, mark) in read.items():
        if mark.offset:
            kind = json.dumps([[str(name), str(dtype)] for name, dtype in table.dtypes.items()])
            kinds.setdefault(kind, []).append((_name(path), table, mark))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = set(folder.glob("*.feather"))
        written = {_write(folder, kind, tables, keys) for kind, tables in kinds.items()}
        for file in before - written:
            file.unlink()
    except (OSError, pa.ArrowInvalid):  # nowhere to write, or a column of this and that
        return


def _read(file: Path, keys: Sequence[str]) -> dict[str, Marked]:
    table = feather.read_table(file)
    content = json.loads(table.schema.metadata[_META])
    if content["keys"] != list(keys):
        return {}
    rows = pd.DataFrame({name: table[name].to_numpy() for name in table.column_names})
    found, first = {}, 0
    for name, count, mark in content["files"]:
        found[name] = rows.iloc[first : first + count].reset_index(drop=True), Mark(**mark)
        first += count
    return found


def _write(
    folder: Path, kind: str, tables: Sequence[tuple[str, pd.DataFrame, Mark]], keys: Sequence[str]
) -> Path:
    files = [[name, len(table), asdict(mark)] for name, table, mark in tables]
    metadata = {_META: json.dumps({"keys": list(keys), "files": files}).encode()}
    rows = pd.concat([table for _, table, _ in tables], ignore_index=True)
    columns = pa.table({name: rows[name].to_numpy() for name in rows})
    file = folder / f"{zlib.crc32(kind.encode()):08x}.feather"
    partial = file.with_suffix(f".{os.getpid()}")
    try:
        found = columns.replace_schema_metadata(metadata)
        feather.write_feather(found, partial, compression="uncompressed")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return file


def _is_same(path: Path, mark: Mark) -> bool:
    try:
        return path.stat().st_size >= mark.offset and checksum(path, mark.offset) == mark.checksum
    except OSError:
        return False


def _name(path: Path) -> str:
    """Of the trial's folder and the file: a run that is moved is still known."""
    return "/".join(path.parts[-2:])
