"""The README's way: from `make sweep … PROFILE=smoke` on Breakout to an MP4."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import imageio.v2 as imageio

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> str:
    command = ["make", "--no-print-directory", f"VENV={sys.prefix}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_from_a_spec_to_a_film(tmp_path: Path) -> None:
    storage = f"ARGS=--storage {tmp_path / 'runs'}"
    assert "finished" in make("sweep", "SPEC=breakout_lr.yaml", "PROFILE=smoke", storage)
    assert "lr=0.00025" in make("report", "RUN=breakout_lr", storage)
    film = tmp_path / "breakout.mp4"
    out = make("rollout", "RUN=breakout_lr", "GAMES=2", f"VIDEO={film}", storage)
    assert out.count("score ") == 2
    assert imageio.get_reader(film).count_frames() > 100  # type: ignore[attr-defined]


def test_help_lists_the_targets() -> None:
    out = make("help")
    for target in ("sweep", "ui", "report", "rollout", "test"):
        assert target in out


def test_a_forgotten_argument_is_named() -> None:
    command = ["make", f"VENV={sys.prefix}", "sweep"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "say which: SPEC=" in done.stderr
