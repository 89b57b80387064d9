"""Documents laid over each other: the later one wins, and every value keeps the place it was written at."""

from __future__ import annotations

from typing import Any

from rlsweep.spec.schedules import is_schedule
from rlsweep.spec.search import MEASURES
from rlsweep.spec.source import Document, KeyPath


def overlay(base: Document, over: Document) -> None:
    """Lay `over` on `base`: mappings merge key by key, everything else is replaced. A mapping whose keys are
    positions merges with a list's items.

    A range of `search.parameters`, a schedule, an objective with another measure, and a section that names
    its kind (`network: {name: …}`, `scheduler: {type: …}`) are replaced whole when the kind changes: half of
    one and half of another would mean neither.
    """
    base.data = _merge(base.data, over.data, ())
    base.locations = base.locations | over.locations


def below(document: Document, prefix: KeyPath) -> Document:
    """The part of a document under a key, as a document of its own."""
    data: Any = document.data
    for key in prefix:
        data = data[key]
    size = len(prefix)
    places = {
        path[size:]: place
        for path, place in document.locations.items()
        if path[:size] == prefix and len(path) > size
    }
    return Document(data, places)


def _merge(base: Any, over: Any, path: KeyPath) -> Any:
    if isinstance(base, list) and _are_items(over, base):
        return [_merge(item, over.get(index, item), (*path, index)) for index, item in enumerate(base)]
    if not (isinstance(base, dict) and isinstance(over, dict)) or _is_replaced(base, over, path):
        return over
    merged = dict(base)
    for key, value in over.items():
        merged[key] = _merge(base[key], value, (*path, key)) if key in base else value
    return merged


def _are_items(over: Any, items: list[Any]) -> bool:
    """Whether `--set phases.0.name=x` speaks of items of a list: whole numbers as keys, all of them there."""
    return isinstance(over, dict) and bool(over) and all(key in range(len(items)) for key in over)


def _is_replaced(base: dict[str, Any], over: dict[str, Any], path: KeyPath) -> bool:
    if len(path) == 3 and path[:2] == ("search", "parameters"):
        return True
    if len(path) == 2 and path[0] == "training" and (is_schedule(base) or is_schedule(over)):
        return True
    if path == ("objective",) and {*over} & {*MEASURES}:
        return {*over} & {*MEASURES} != {*base} & {*MEASURES}
    if path[:2] == ("curriculum", "phases"):  # a phase's name is a label, no kind
        return False
    return any(kind in over and over[kind] != base.get(kind) for kind in ("name", "type") if path)
