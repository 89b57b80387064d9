"""Imports run one way between the rooms (docs/architecture.md)."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAYERS = ["errors", "store", "spec", "legacy", "plan", "rl", "run", "cli"]
"""Rooms of rlsweep, each may import those before it."""

ALLOWED_OUTSIDE = {
    "callbacks": {"errors", "spec", "store"},
    "analysis": {"errors", "spec", "store"},
}
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


def rooms(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("rlsweep.")} & set(LAYERS)


@pytest.mark.parametrize("path", modules("rlsweep"), ids=str)
def test_a_room_imports_only_the_rooms_before_it(path: Path) -> None:
    room = path.relative_to(ROOT / "rlsweep").parts[0].removesuffix(".py")
    if room != "__init__":
        assert rooms(imported(path)) <= set(LAYERS[: LAYERS.index(room) + 1])


@pytest.mark.parametrize("path", modules("callbacks", "analysis"), ids=str)
def test_callbacks_and_analysis_import_only_what_they_may(path: Path) -> None:
    assert rooms(imported(path)) <= ALLOWED_OUTSIDE[path.relative_to(ROOT).parts[0]]


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
