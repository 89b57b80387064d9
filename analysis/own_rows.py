"""Our own result.json as tables: all of it, or a few keys of many files and from then on what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import from_json

from analysis.reading import Skipped, last_branch
from analysis.row_memory import Mark, Marked, checksum, load, save
from analysis.scan import scan
from rlsweep.store.rows import ENV_STEPS, PHASE_NAME

SCANNED_BYTES = 16 * 2**20
"""Where more than that is new, DuckDB scans the files; a few rows are parsed sooner than it has started."""

MAX_COUNT = 2**53
"""The largest whole number that tables of floats keep exactly."""

Rows = tuple[pd.DataFrame, Skipped]
"""In the order of env steps, and what of the file's lines was left out."""


def read_rows(path: Path) -> Rows:
    """All rows of one result.json, with every key.

    A half-written last line (the machine died) is skipped, not fatal. Rows that a retry made again from a
    checkpoint replace those that stood after it. A missing file is an empty table.
    """
    return _finished(*_with_news(path, pd.DataFrame(), Mark(), None))


def read_keys(paths: Sequence[Path], memory: Path, keys: Sequence[str]) -> list[Rows]:
    """A few keys of the rows of many files, as `read_rows` would find them.

    Args:
        paths: of result.json files.
        memory: folder where the tables are kept, and found by the next reading, which reads only what is new.
            It may be deleted at any time.
        keys: of the rows; ENV_STEPS is always there, one that no row has is not.
    """
    wanted = list(dict.fromkeys([ENV_STEPS, *keys]))
    known = load(memory, paths, wanted)
    unread = [path for path in paths if path not in known and path.is_file()]
    scanned = scan(unread, wanted) if sum(path.stat().st_size for path in unread) > SCANNED_BYTES else {}
    read: dict[Path, Marked] = {}
    found = []
    for path in paths:
        table, mark = known.get(path, (pd.DataFrame(), Mark()))
        if path in scanned:
            table, size = scanned[path]
            mark = Mark(size, checksum(path, size))
        table, mark, tail, rest = _with_news(path, table, mark, wanted)
        read[path] = table, mark
        found.append(_finished(table, mark, tail, rest))
    if any(path not in known or known[path][1] != mark for path, (_, mark) in read.items()):
        save(memory, read, wanted)
    return found


def _with_news(
    path: Path, table: pd.DataFrame, mark: Mark, keys: Sequence[str] | None
) -> tuple[pd.DataFrame, Mark, pd.DataFrame, Skipped]:
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
        mark = Mark(offset, checksum(path, offset), mark.broken + broken, mark.foreign + foreign)
    if not rest.strip():
        return table, mark, *nothing
    tail, broken, foreign = _parse(rest)
    return table, mark, _chosen(tail, keys), Skipped(broken, foreign)


def _finished(table: pd.DataFrame, mark: Mark, tail: pd.DataFrame, rest: Skipped) -> Rows:
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
        if type(row) is dict and type(row.get(ENV_STEPS)) is int and 0 <= row[ENV_STEPS] <= MAX_COUNT:
            rows.append(row)
        else:
            foreign += 1
    table = _columns(rows)
    if table is None:
        own = [row for row in rows if is_row(row)]
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


def is_row(row: Mapping[str, Any]) -> bool:
    """Whether all values of a row are what this version writes there."""
    return isinstance(row.get(ENV_STEPS), int) and all(
        isinstance(value, str if key == PHASE_NAME else (int, float)) for key, value in row.items()
    )


def _joined(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    tables = [table for table in (first, second) if len(table)]
    return pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0] if tables else first
