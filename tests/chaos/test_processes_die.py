"""Processes of a sweep that die, one after the other: its driver, trials, env runners, Ray itself."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import psutil
import pytest
from under_fire import Outcome, UnderFire

from rlsweep.store.manifest import Manifest

Sweep = Callable[..., UnderFire]
Note = Callable[[Outcome], None]

pytestmark = pytest.mark.chaos


@pytest.mark.timeout(1800)
def test_the_driver_is_killed_again_and_again(sweep: Sweep, note: Note) -> None:
    """At random moments, from its first second on; the same trials have the same ends in the end."""
    draw, times = random.Random(0), 20
    one = sweep("stop.env_steps=160k")
    for _ in range(times):
        process = one.start()
        if draw.random() < 0.8:  # else wherever it is: Ray starts, MLflow opens, trials are made
            one.wait_for_rows(process, draw.randint(1, 4))
        time.sleep(draw.uniform(0, 1.5))
        assert process.poll() is None, "it ended before it was killed: it needs more env steps"
        one.kill(process)
    one.run_to_the_end()
    assert set(one.statuses().values()) == {"finished"}
    note(one.outcome("SIGKILL of the driver", times, went_back=times))


@pytest.mark.parametrize(
    ("title", "overrides"),
    [
        ("ray::Trial", []),
        ("ray::FragmentEnvRunner", ["resources.env_runners=1"]),
    ],
)
def test_a_worker_is_killed(title: str, overrides: list[str], sweep: Sweep, note: Note) -> None:
    one = sweep("stop.env_steps=40k", *overrides)
    process = one.start()
    times = 3
    for _ in range(times):
        one.wait_for_rows(process, 4)
        one.wait_for(lambda: bool(one.processes_called(title)), process)
        random.Random(0).choice(one.processes_called(title)).kill()
    assert process.wait(240) == 0, one.messages
    is_trial = title == "ray::Trial"
    note(one.outcome(f"SIGKILL of {title}", times, went_back=times if is_trial else 0))


def test_ray_dies_under_the_driver(sweep: Sweep, note: Note) -> None:
    one = sweep("stop.env_steps=30k")
    for _ in range(2):
        process = one.start()
        one.wait_for_rows(process, 6)
        raylets = [child for child in psutil.Process(process.pid).children() if child.name() == "raylet"]
        assert len(raylets) == 1
        raylets[0].kill()
        assert process.wait(240) != 0, "it says that it could not end"
    one.run_to_the_end()
    note(one.outcome("SIGKILL of the raylet", 2, went_back=2))


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 143)]
)
def test_a_signal_loses_nothing(number: int, exit_code: int, sweep: Sweep, note: Note) -> None:
    one = sweep("stop.env_steps=30k")
    for _ in range(2):
        process = one.start()
        one.wait_for_rows(process, 4)
        process.send_signal(number)
        assert process.wait(90) == exit_code, one.messages
    one.run_to_the_end()
    note(one.outcome(signal.Signals(number).name, 2, went_back=0))


def test_ctrl_c_reaches_every_process_of_a_terminal(sweep: Sweep, note: Note) -> None:
    """The terminal sends SIGINT to the whole process group: Ray's processes and trials too."""
    one = sweep("stop.env_steps=30k")
    process = one.start()
    one.wait_for_rows(process, 4)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(90) == 130, one.messages
    assert "Traceback" not in one.messages, one.messages
    one.run_to_the_end()
    note(one.outcome("Ctrl-C in a terminal", 1, went_back=0))


def test_a_second_signal_leaves_at_once(sweep: Sweep, note: Note) -> None:
    one = sweep(
        "stop.env_steps=40k",
        "training.train_batch_size_per_learner=8192",
        "search.parameters.training.num_epochs.values=[60]",
    )
    process = one.start()
    one.wait_for_rows(process, 1)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143, one.messages
    assert "left at once" in one.messages
    one.run_to_the_end()
    note(one.outcome("a second SIGTERM", 1, went_back=1, intervals=3))


def test_the_same_sweep_is_started_twice(sweep: Sweep, note: Note) -> None:
    one = sweep("stop.env_steps=150k")
    first = one.start()
    one.wait_for_rows(first, 1)
    second = one.start()
    assert second.wait(90) == 4, one.messages
    assert f"is in use by process {first.pid} of" in one.messages
    assert first.wait(240) == 0
    note(one.outcome("started twice at once", 1, went_back=0))


def test_killed_between_the_end_of_a_trial_and_the_next_row(sweep: Sweep, note: Note) -> None:
    """Optuna has been told of a trial, and nobody else knows: it is told again, once, from the history."""
    settings = ["stop.env_steps=8k", "search.trials=4", "seeds=1", "resources.max_concurrent=1"]
    one = sweep(*settings, spec=("cartpole/tpe.yaml",))
    times = 2
    for ended in range(1, times + 1):
        process = one.start()
        one.wait_for(lambda ended=ended: num_finished(one) >= ended, process)  # type: ignore[misc]
        one.kill(process)
    one.run_to_the_end()
    values = [record.values["training.lr"] for record in Manifest.read(one.layout).trials]
    assert len(values) == len(set(values)) == 4, "as many trials as were asked for, none twice"
    note(one.outcome("killed after a searcher was told", times, went_back=times))


def num_finished(one: UnderFire) -> int:
    return list(one.statuses().values()).count("finished") if one.layout.manifest.exists() else 0
