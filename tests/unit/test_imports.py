"""Imports run one way between the rooms (docs/architecture.md)."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BELOW = {"errors", "store", "spec"}
OUTSIDE = {"callbacks.driver", "callbacks.worker", "analysis"}
ALLOWED = {
    "errors": set(),
    "store": {"errors"},
    "spec": {"errors", "store"},
    "legacy": {"errors", "spec"},
    "plan": BELOW,
    "rl": BELOW | {"plan", "callbacks.worker"},
    "run": BELOW | OUTSIDE | {"plan", "rl"},
    "cli": BELOW | OUTSIDE | {"legacy", "plan", "rl", "run"},
    **dict.fromkeys(OUTSIDE, BELOW),
}
"""Room -> rooms that it may import beside itself: the table of docs/architecture.md."""

HEAVY = {"ray", "torch"}
LIGHT_ROOMS = [
    *("rlsweep/errors.py", "rlsweep/spec", "rlsweep/legacy"),
    *("rlsweep/store", "rlsweep/plan", "analysis"),
]


def modules(*places: str) -> list[Path]:
    found = [
        path
        for place in places
        for path in ([ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py")))
    ]
    assert found
    return found


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room_of(name: str) -> str:
    """Of a module's dotted name; empty where it is in none."""
    found = [room for room in ALLOWED if f"{name}.".removeprefix("rlsweep.").startswith(f"{room}.")]
    return found[0] if found else ""


@pytest.mark.parametrize("path", modules("rlsweep", "callbacks", "analysis"), ids=str)
def test_a_room_imports_only_the_rooms_that_it_may(path: Path) -> None:
    room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if room:  # not the __init__ above the rooms
        assert {room_of(name) for name in imported(path)} <= {"", room} | ALLOWED[room]


@pytest.mark.parametrize("path", modules(*LIGHT_ROOMS), ids=str)
def test_light_rooms_import_neither_ray_nor_torch(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & HEAVY


def test_every_package_is_shipped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in modules("rlsweep", "callbacks", "analysis")
        if path.name == "__init__.py"
    }
    assert set(project["tool"]["setuptools"]["packages"]) == found


def test_there_is_no_room_for_odds_and_ends() -> None:
    names = {path.stem for path in modules("rlsweep", "callbacks", "analysis")}
    assert not names & {"utils", "common", "helpers", "misc"}
