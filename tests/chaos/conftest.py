"""The table of what was done to sweeps, at the end of `make chaos`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from under_fire import Outcome, UnderFire

EVERY = 4000
SETTINGS = [f"checkpoints.every={EVERY}", "failures.backoff=1s", "stop.score=10_000"]

_OUTCOMES: list[Outcome] = []
_REMARKS: list[str] = []


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Callable[..., UnderFire]]:
    """Makes sweeps, of two trials of PPO on CartPole if nothing else is said."""
    made: list[UnderFire] = []

    def make(
        *overrides: str,
        spec: tuple[str, ...] = ("cartpole_ppo.yaml", "--profile", "smoke"),
        folder: Path = tmp_path,
        environment: dict[str, str] | None = None,
    ) -> UnderFire:
        settings = [part for one in (*SETTINGS, *overrides) for part in ("--set", one)]
        made.append(UnderFire(folder, tmp_path, [*spec, *settings], EVERY, environment or {}))
        return made[-1]

    yield make
    for one in made:
        one.clean_up()


@pytest.fixture
def note() -> Callable[[Outcome], None]:
    """Adds a line to the table."""
    return _OUTCOMES.append


@pytest.fixture
def remark() -> Callable[[str], None]:
    """Adds a line below the table."""
    return _REMARKS.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _OUTCOMES:
        return
    write = terminalreporter.write_line
    write("")
    write("| fault | times | trials | lost | repeated | allowed | duplicate points | missing | seconds |")
    write("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for one in _OUTCOMES:
        write(
            f"| {one.fault} | {one.times} | {one.trials} | {one.lost} | {one.repeated_env_steps:,} | "
            f"{one.allowed_env_steps:,} | {one.duplicate_points} | {one.missing_points} | {one.seconds:.0f} |"
        )
    for remark in _REMARKS:
        write(remark)
