"""Fixtures that several rooms of the tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rlsweep.spec import Sweep, load

ROOT = Path(__file__).parent.parent


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def write_spec(tmp_path: Path) -> Callable[[str], Path]:
    """Writes YAML to a file of its own."""

    def write(text: str, name: str = "spec.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def cartpole() -> Sweep:
    """A tiny CartPole sweep: two configurations, one seed."""
    return load("cartpole_ppo.yaml", profile="smoke", overrides=["stop.env_steps=4000"], root=ROOT).sweep
