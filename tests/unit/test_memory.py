"""Which trial gives way when the node's memory runs out, and how much of it is taken."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlsweep.run import memory
from rlsweep.run.kills import Kills
from rlsweep.run.memory import MemoryWatch, share_taken


class Killed(Kills):
    """Keeps whom it would have killed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def kill(self, trial: Any, kind: str, reason: str) -> None:
        self.found.append((trial.name, kind))


class Trial(SimpleNamespace):
    """As Tune's."""

    def __str__(self) -> str:
        return str(self.name)


def trial(name: str, status: str = "RUNNING") -> Trial:
    return Trial(name=name, status=status, temporary_state=SimpleNamespace(ray_actor=object()))


def look(watch: MemoryWatch, trials: list[Trial]) -> None:
    watch.on_step_begin(0, trials)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: made.seconds))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.9")
    return made


def test_the_trial_that_began_last_gives_way_and_memory_has_time_to_become_free(clock: Any) -> None:
    kills, shares = Killed(), [0.5]
    watch = MemoryWatch(kills, lambda: shares[0])
    trials = [trial("old"), trial("young"), trial("waiting", "PENDING"), trial("paused", "PAUSED")]
    for one in (trials[2], trials[0], trials[1], trials[3]):
        clock.seconds += 1
        watch.on_trial_start(0, trials, one)
    look(watch, trials)
    assert kills.found == []
    shares[0] = 0.95
    look(watch, trials)
    assert kills.found == [], "it does not look all the time"
    clock.seconds += memory.LOOK_SECONDS
    look(watch, trials)
    assert kills.found == [("young", "out_of_memory")]
    clock.seconds += memory.SECONDS_TO_FREE / 2
    look(watch, trials)
    assert len(kills.found) == 1
    clock.seconds += memory.SECONDS_TO_FREE
    look(watch, [trials[0], *trials[2:]])
    look(watch, [])
    assert [name for name, _ in kills.found] == ["young", "old"]


@pytest.mark.usefixtures("clock")
def test_the_memory_of_this_node_says_nothing_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    kills = Killed()
    look(MemoryWatch(kills, lambda: 1.0), [trial("one")])
    assert kills.found == []


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_with_a_limit_is_as_full_as_it_is(version: int, tmp_path: Path) -> None:
    names = ("memory.max", "memory.current", "memory.stat")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
    folder = tmp_path if version == 2 else tmp_path / "memory"
    folder.mkdir(exist_ok=True)
    prefix = "" if version == 2 else "total_"
    (folder / names[0]).write_text("1000\n")
    (folder / names[1]).write_text("1300\n")
    (folder / names[2]).write_text(f"anon 1000\n{prefix}inactive_file 200\n{prefix}active_file 101\n")
    assert share_taken(tmp_path) == pytest.approx(0.999)


def test_without_a_limit_the_node_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    assert 0 < share_taken(tmp_path) < 0.999
