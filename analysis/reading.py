"""`result.json` and `progress.csv` -> tables. A line that cannot be used costs that line, and is counted."""

from __future__ import annotations

import ast
import csv
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import from_json

from rlsweep.store.rows import ENV_STEPS, ITERATION

LAST_BYTES = 64 * 1024
"""A row of ours takes about 2 kB."""

NOT_ROWS = ("config", "hist_stats", "sampler_results")
"""Nested parts of a row that are no numbers of it: the configuration, and what stands there once more."""


@dataclass(frozen=True)
class Skipped:
    """Lines that gave no row.

    Attributes:
        broken: cut off, or not JSON or CSV at all.
        foreign: whole, but no result row.
        superseded: rows that were made again later, after a restart or because they came twice.
    """

    broken: int = 0
    foreign: int = 0
    superseded: int = 0

    def __add__(self, other: Skipped) -> Skipped:
        return Skipped(
            self.broken + other.broken, self.foreign + other.foreign, self.superseded + other.superseded
        )

    def __str__(self) -> str:
        parts = [
            (self.broken, "cut off or unreadable"),
            (self.foreign, "no result rows"),
            (self.superseded, "made again later, or twice"),
        ]
        return ", ".join(f"{count:,} {text}" for count, text in parts if count)


def read_json_lines(path: Path) -> tuple[list[dict[str, Any]], Skipped]:
    """Rows of a result.json, nested ones flattened (`info/learner/…`); a missing file has none."""
    if not path.is_file():
        return [], Skipped()
    rows: list[dict[str, Any]] = []
    broken = foreign = 0
    with path.open("rb") as stream:
        for line in stream:
            try:
                row = from_json(line, allow_inf_nan=True, cache_strings="keys")
            except ValueError:
                broken += bool(line.strip())
                continue
            if isinstance(row, dict):
                rows.append(row)
            else:
                foreign += 1
    return [flat(row) for row in rows], Skipped(broken, foreign)


def read_csv(path: Path) -> tuple[list[dict[str, Any]], Skipped]:
    """Rows of a progress.csv, one that is cut off in the middle of a field too.

    Old ones keep whole dictionaries of Python in a column (`info`): they are flattened.
    """
    if not path.is_file():
        return [], Skipped()
    csv.field_size_limit(sys.maxsize)
    rows: list[dict[str, Any]] = []
    broken = 0
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        lines = csv.reader(line.replace("\0", "") for line in stream)
        header = next(lines, [])
        for fields in lines:
            if len(fields) == len(header):
                rows.append(flat(dict(zip(header, map(_value, fields), strict=True))))
            else:
                broken += bool(fields)
    return rows, Skipped(broken)


def flat(row: Mapping[str, Any], prefix: str = "", without: Sequence[str] = NOT_ROWS) -> dict[str, Any]:
    """`{"info": {"learner": {"loss": 1}}}` -> `{"info/learner/loss": 1}`, without some of the first keys."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if key in without:
            continue
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}/", without=())
        else:
            found[prefix + str(key)] = value
    return found


def last_branch(table: pd.DataFrame) -> pd.DataFrame:
    """The rows without those that a later row, at as few or fewer iterations or env steps, made obsolete.

    An iteration that is made again may take an env step more or less.
    """
    axes = [table[name].to_numpy(float) for name in (ITERATION, ENV_STEPS) if name in table]
    if all((np.diff(axis) > 0).all() for axis in axes):
        return table
    kept: list[int] = []
    for row in range(len(table)):
        while kept and any(axis[kept[-1]] >= axis[row] for axis in axes):
            kept.pop()
        kept.append(row)
    return table.iloc[kept].reset_index(drop=True)


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One column per key; a row without it has NaN there."""
    if rows and all(len(row) == len(rows[0]) and row.keys() == rows[0].keys() for row in rows):
        return pd.DataFrame({key: [row[key] for row in rows] for key in rows[0]})
    return pd.DataFrame(rows)


def last_row(rows: pd.DataFrame) -> dict[str, Any]:
    """The last row by key; empty where there is none."""
    return {str(key): value for key, value in rows.iloc[-1].items()} if len(rows) else {}


def last_row_of(path: Path) -> dict[str, Any]:
    """The last whole row of a result.json of ours, read from its end; empty where there is none."""
    if not path.is_file():
        return {}
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - LAST_BYTES))
        lines = stream.read().splitlines()
    for line in reversed(lines):
        try:
            row = from_json(line, allow_inf_nan=True)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get(ENV_STEPS), int):
            return row
    return {}


def _value(text: str) -> Any:
    """A CSV field as the number, truth value or dictionary that it was; text otherwise."""
    if text in ("True", "False"):
        return text == "True"
    if text == "":
        return math.nan
    if text.startswith("{"):
        try:
            return ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return text
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() and "." not in text and "e" not in text.lower() else number
