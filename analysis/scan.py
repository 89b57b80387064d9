"""A few keys of very many rows, by DuckDB: it parses JSON on all cores and skips what is not asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
        Path -> its table, and the size that the file had. A file that is not whole, or that grew meanwhile,
        is left out: its lines have to be looked at one by one.
    """
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
    ends = np.searchsorted(files, np.arange(len(paths)), side="right")
    starts = np.searchsorted(files, np.arange(len(paths)), side="left")
    found = {}
    for path, start, end in zip(paths, starts, ends, strict=True):
        table = _table({key: np.ma.asarray(column)[start:end] for key, column in columns.items()})
        is_settled = sizes[path] > 0 and path.stat().st_size == sizes[path] and _ends_with_a_line(path)
        if table is not None and is_settled:
            found[path] = table, sizes[path]
    return found


def _table(columns: dict[str, np.ma.MaskedArray]) -> pd.DataFrame | None:
    """None where a value is missing: a line was broken, or no row, or had something else there."""
    kept = {}
    for key, column in columns.items():
        missing = np.ma.getmaskarray(column)
        if not missing.any():
            kept[key] = np.ma.getdata(column)
        elif key == ENV_STEPS or not missing.all():
            return None
    return pd.DataFrame(kept)


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read() == b"\n"


def _quoted(key: str) -> str:
    return "'" + key.replace("'", "''") + "'"
