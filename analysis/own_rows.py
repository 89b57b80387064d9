"""Our own result.json as tables: all of it, or a few keys of many files and from then on what is new."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import feather
from pydantic_core import from_json

from analysis.reading import Skipped, last_branch
from analysis.scan import scan
from rlsweep.store.rows import ENV_STEPS, PHASE_NAME

SCANNED_BYTES = 16 * 2**20
"""Where more than that is new, DuckDB scans the files; a few rows are parsed sooner than it has started."""

CHECKED_BYTES = 4096
"""Before the remembered offset: where they have changed, the file is another one."""

_META = b"rlsweep"

Rows = tuple[pd.DataFrame, Skipped]
"""In the order of env steps, and what of the file's lines was left out."""


@dataclass(frozen=True)
class _Mark:
    """How far a file was read.

    Attributes:
        keys: what was kept of each row.
        offset: in bytes, behind a whole line.
        checksum: of the CHECKED_BYTES before it.
        broken, foreign: lines up to there that gave no row.
    """

    keys: Sequence[str] = ()
    offset: int = 0
    checksum: int = 0
    broken: int = 0
    foreign: int = 0


def read_rows(path: Path) -> Rows:
    """All rows of one result.json, with every key.

    A half-written last line (the machine died) is skipped, not fatal. Rows that a retry made again from a
    checkpoint replace those that stood after it. A missing file is an empty table.
    """
    return _finished(*_with_news(path, pd.DataFrame(), _Mark(), None))


def read_keys(paths: Sequence[Path], memories: Sequence[Path], keys: Sequence[str]) -> list[Rows]:
    """A few keys of the rows of many files, as `read_rows` would find them.

    Args:
        paths: of result.json files.
        memories: where the table of each is kept, and found by the next reading, which reads only what is
            new. They may be deleted at any time.
        keys: of the rows; ENV_STEPS is always there, one that no row has is not.
    """
    wanted = list(dict.fromkeys([ENV_STEPS, *keys]))
    known = [_remembered(path, memory, wanted) for path, memory in zip(paths, memories, strict=True)]
    unread = [
        path for path, (_, mark) in zip(paths, known, strict=True) if not mark.offset and path.is_file()
    ]
    scanned = scan(unread, wanted) if sum(path.stat().st_size for path in unread) > SCANNED_BYTES else {}
    found = []
    for path, memory, (table, mark) in zip(paths, memories, known, strict=True):
        before = mark
        if path in scanned:
            table, size = scanned[path]
            mark = _Mark(wanted, size, _checksum(path, size))
        table, mark, tail, rest = _with_news(path, table, mark, wanted)
        if mark != before:
            _remember(table, mark, memory)
        found.append(_finished(table, mark, tail, rest))
    return found


def _with_news(
    path: Path, table: pd.DataFrame, mark: _Mark, keys: Sequence[str] | None
) -> tuple[pd.DataFrame, _Mark, pd.DataFrame, Skipped]:
    """A table and its mark up to the last whole line, and what comes of a line without an end."""
    nothing = pd.DataFrame(), Skipped()
    if not path.is_file() or path.stat().st_size == mark.offset:
        return table, mark, *nothing
    with path.open("rb") as stream:
        stream.seek(mark.offset)
        new = stream.read()
    whole, _, rest = new.rpartition(b"\n")
    if whole:
        more, broken, foreign = _parse(whole)
        table = _joined(table, _chosen(more, keys))
        offset = mark.offset + len(whole) + 1
        mark = _Mark(
            keys or (), offset, _checksum(path, offset), mark.broken + broken, mark.foreign + foreign
        )
    if not rest.strip():
        return table, mark, *nothing
    tail, broken, foreign = _parse(rest)
    return table, mark, _chosen(tail, keys), Skipped(broken, foreign)


def _finished(table: pd.DataFrame, mark: _Mark, tail: pd.DataFrame, rest: Skipped) -> Rows:
    table = _joined(table, tail)
    kept = last_branch(table)
    return kept, rest + Skipped(mark.broken, mark.foreign, len(table) - len(kept))


def _chosen(table: pd.DataFrame, keys: Sequence[str] | None) -> pd.DataFrame:
    return table if keys is None else table[[key for key in keys if key in table]]


def _parse(lines: bytes) -> tuple[pd.DataFrame, int, int]:
    """Rows, broken lines, and lines that are no rows."""
    rows: list[dict[str, Any]] = []
    broken = foreign = 0
    for line in lines.split(b"\n"):
        try:
            row = from_json(line, allow_inf_nan=True, cache_strings="keys")
        except ValueError:
            broken += bool(line.strip())
            continue
        if type(row) is dict and type(row.get(ENV_STEPS)) is int:
            rows.append(row)
        else:
            foreign += 1
    table = _columns(rows)
    if table is None:
        own = [row for row in rows if all(_is_value(key, value) for key, value in row.items())]
        foreign += len(rows) - len(own)
        table = pd.DataFrame(own)
    return table, broken, foreign


def _columns(rows: list[dict[str, Any]]) -> pd.DataFrame | None:
    """The table of rows that have the same keys and only numbers; None where they do not."""
    keys = list(rows[0]) if rows else []
    if any(list(row) != keys for row in rows):
        return None
    columns = {}
    for key in keys:
        values = [row[key] for row in rows]
        try:
            column = np.array(values)
        except ValueError:  # lists of different lengths
            return None
        if column.ndim != 1 or (column.dtype.kind not in "bif" and key != PHASE_NAME):
            return None
        columns[key] = column
    return pd.DataFrame(columns)


def _is_value(key: str, value: Any) -> bool:
    return isinstance(value, str if key == PHASE_NAME else (int, float))


def _joined(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    tables = [table for table in (first, second) if len(table)]
    return pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0] if tables else first


def _checksum(path: Path, offset: int) -> int:
    with path.open("rb") as stream:
        stream.seek(max(0, offset - CHECKED_BYTES))
        return zlib.crc32(stream.read(min(offset, CHECKED_BYTES)))


def _remembered(path: Path, memory: Path, keys: Sequence[str]) -> tuple[pd.DataFrame, _Mark]:
    """The table that was kept of this file, or nothing."""
    nothing = pd.DataFrame(), _Mark()
    try:
        table = feather.read_table(memory)
        mark = _Mark(**json.loads(table.schema.metadata[_META]))
        size = path.stat().st_size
    except (OSError, pa.ArrowInvalid, LookupError, TypeError, ValueError):
        return nothing
    if mark.keys != list(keys) or size < mark.offset or _checksum(path, mark.offset) != mark.checksum:
        return nothing
    return pd.DataFrame({name: table[name].to_numpy() for name in table.column_names}), mark


def _remember(table: pd.DataFrame, mark: _Mark, memory: Path) -> None:
    """Keep a table; where that cannot be, the next reading takes longer."""
    metadata = {_META: json.dumps(asdict(mark)).encode()}
    partial = memory.with_name(f"{memory.name}.{os.getpid()}")
    try:
        columns = pa.table({name: table[name].to_numpy() for name in table})
        memory.parent.mkdir(parents=True, exist_ok=True)
        found = columns.replace_schema_metadata(metadata)
        feather.write_feather(found, partial, compression="uncompressed")
        partial.replace(memory)
    except (OSError, pa.ArrowInvalid):  # nowhere to write, or a column of this and that
        partial.unlink(missing_ok=True)
