"""Our own result.json as tables: parsed column by column, remembered by how far each file was read."""

from __future__ import annotations

import json
import multiprocessing
import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import feather
from pydantic_core import from_json

from analysis.reading import Skipped, last_branch
from rlsweep.store.rows import ENV_STEPS, PHASE_NAME

PARALLEL_BYTES = 64 * 2**20
"""Unread histories of fewer bytes together are read here: a process takes a second to start."""

CHECKED_BYTES = 4096
"""Before the remembered offset: where they have changed, the file is another one."""

_META = b"rlsweep"


@dataclass(frozen=True)
class _Mark:
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


def read_rows(path: Path, memory: Path | None = None) -> tuple[pd.DataFrame, Skipped]:
    """The rows of one result.json in the order of env steps, and what of its lines was left out.

    A half-written last line (the machine died) is skipped, not fatal. Rows that a retry made again from a
    checkpoint replace those that stood after it. A missing file is an empty table.

    Args:
        path: of the file.
        memory: where the table is kept, and found by the next reading, which reads only what is new. It may
            be deleted at any time.
    """
    if not path.is_file():
        return pd.DataFrame(), Skipped()
    table, mark = _remembered(path, memory) if memory else (pd.DataFrame(), _Mark())
    with path.open("rb") as stream:
        stream.seek(mark.offset)
        new = stream.read()
    whole, _, rest = new.rpartition(b"\n")
    if whole:
        more, broken, foreign = _parse(whole)
        table = _joined(table, more)
        offset = mark.offset + len(whole) + 1
        checksum = _checksum(path, offset)
        mark = _Mark(offset, checksum, mark.broken + broken, mark.foreign + foreign)
        if memory:
            _remember(table, mark, memory)
    tail, broken, foreign = _parse(rest) if rest.strip() else (pd.DataFrame(), 0, 0)
    table = _joined(table, tail)
    kept = last_branch(table)
    skipped = Skipped(mark.broken + broken, mark.foreign + foreign, len(table) - len(kept))
    return kept, skipped


def read_all(paths: Sequence[Path], memories: Sequence[Path | None]) -> list[tuple[pd.DataFrame, Skipped]]:
    """`read_rows` of many files, side by side on the machine's cores where that is worth it."""
    unread = sum(path.stat().st_size for path in paths if path.is_file()) - sum(
        memory.stat().st_size for memory in memories if memory is not None and memory.is_file()
    )
    workers = min(os.cpu_count() or 1, len(paths))
    if unread < PARALLEL_BYTES or workers < 2:
        return [read_rows(path, memory) for path, memory in zip(paths, memories, strict=True)]
    # Not forked: the process may have threads, of Ray or of a server.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        return list(pool.map(read_rows, paths, memories, chunksize=max(1, len(paths) // (8 * workers))))


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


def _remembered(path: Path, memory: Path) -> tuple[pd.DataFrame, _Mark]:
    """The table that was kept of this file, or nothing."""
    try:
        table = feather.read_table(memory)
        mark = _Mark(**json.loads(table.schema.metadata[_META]))
    except (OSError, pa.ArrowInvalid, LookupError, TypeError, ValueError):
        return pd.DataFrame(), _Mark()
    if path.stat().st_size < mark.offset or _checksum(path, mark.offset) != mark.checksum:
        return pd.DataFrame(), _Mark()
    return table.to_pandas(), mark


def _remember(table: pd.DataFrame, mark: _Mark, memory: Path) -> None:
    """Keep a table; where that cannot be, the next reading takes longer."""
    found = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(found.schema.metadata or {}), _META: json.dumps(asdict(mark)).encode()}
    partial = memory.with_name(f"{memory.name}.{os.getpid()}")
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        feather.write_feather(found.replace_schema_metadata(metadata), partial, compression="uncompressed")
        partial.replace(memory)
    except OSError:
        partial.unlink(missing_ok=True)
