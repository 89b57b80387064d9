"""A few keys of very many rows, by DuckDB: it parses JSON on all cores and skips what is not asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from rlsweep.store.rows import ENV_STEPS, EVALUATION_GAMES, GAMES, ITERATION, PHASE, SCORE_VALID

_WHOLE = (ENV_STEPS, ITERATION, GAMES, EVALUATION_GAMES, PHASE)
_TYPES = dict.fromkeys(_WHOLE, "BIGINT") | {SCORE_VALID: "BOOLEAN"}
"""Of the keys that are no fractions."""

_FILE = "rlsweep_file"


def scan(paths: Sequence[Path], keys: Sequence[str]) -> dict[Path, tuple[pd.DataFrame, int]]:
    """Rows of files that are whole: every line a row with a value for each key that the file has at all.

    Args:
        paths: of files with one JSON object in each line.
        keys: of the rows.

    Returns:
        Path -> its table, and the size that the file had. A file that is not whole, that DuckDB gives up on,
        or that grew meanwhile is left out: its lines have to be looked at one by one.
    """
    try:
        return _scan(paths, keys)
    except duckdb.Error:
        return {}


def _scan(paths: Sequence[Path], keys: Sequence[str]) -> dict[Path, tuple[pd.DataFrame, int]]:
    sizes = {path: path.stat().st_size for path in paths}
    names = [str(path) for path in paths]
    types = ", ".join(f"{_quoted(key)}: '{_TYPES.get(key, 'DOUBLE')}'" for key in keys)
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("CREATE TYPE file AS ENUM (SELECT unnest(?))", [names])
        columns = connection.execute(
            f"SELECT * EXCLUDE (filename), enum_code(filename::file) AS {_FILE} "
            f"FROM read_json(?, format = 'newline_delimited', ignore_errors = true, filename = true, "
            f"columns = {{{types}}})",
            [names],
        ).fetchnumpy()  # masked arrays, where something is missing
    files = np.asarray(columns.pop(_FILE)).astype(np.int64)
    bounds = np.searchsorted(files, np.arange(len(paths) + 1))
    tables = _tables({key: np.ma.asarray(column) for key, column in columns.items()}, bounds)
    found = {}
    for path, table in zip(paths, tables, strict=True):
        is_settled = sizes[path] > 0 and path.stat().st_size == sizes[path] and _ends_with_a_line(path)
        if table is not None and is_settled:
            found[path] = table, sizes[path]
    return found


def _tables(
    columns: dict[str, np.ma.MaskedArray[Any, Any]], bounds: np.ndarray
) -> Iterator[pd.DataFrame | None]:
    """The rows from each bound to the next, without the keys that none of them has.

    None where a row lacks what others have: a line was broken, or no row, or had something else there.
    """
    keys, sizes = list(columns), np.diff(bounds)
    masks = [np.ma.getmaskarray(column) for column in columns.values()]
    missing = np.stack([np.diff(np.concatenate([[0], mask.cumsum()])[bounds]) for mask in masks], axis=1)
    wholes: dict[tuple[str, ...], pd.DataFrame] = {}
    for size, lacking, first, end in zip(sizes, missing, bounds[:-1], bounds[1:], strict=True):
        known = tuple(key for key, count in zip(keys, lacking, strict=True) if not size or count < size)
        if any(lacking[keys.index(key)] for key in known) or ENV_STEPS not in known:
            yield None
            continue
        if known not in wholes:
            wholes[known] = pd.DataFrame({key: np.ma.getdata(columns[key]) for key in known})
        yield wholes[known].iloc[first:end].reset_index(drop=True)


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read() == b"\n"


def _quoted(key: str) -> str:
    return "'" + key.replace("'", "''") + "'"
