"""What keeps the driver's cost from growing with the number of trials."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler

from rlsweep.plan import Machine, make
from rlsweep.run import stalls, standing
from rlsweep.run.kills import Kills
from rlsweep.run.manifest import new_manifest
from rlsweep.run.retrying import Retrying
from rlsweep.run.stalls import Stalls
from rlsweep.run.standing import Standing
from rlsweep.run.stopping import Halt
from rlsweep.run.trial import trainable_for
from rlsweep.run.tune_settings import Listed, checkpoint_config
from rlsweep.run.unended import Unended
from rlsweep.spec import load
from rlsweep.store.checkpoint import write_manifest
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import FINISHED, PENDING, RUNNING, Manifest

ROOT = Path(__file__).parents[2]
PLAN = make(load("cartpole/random.yaml", overrides=["search.trials=6"], root=ROOT).sweep, Machine.of(2, 0))


@dataclass
class Clock:
    """Of a module: goes on when it is told to."""

    now: float = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (standing, stalls):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def run(tmp_path: Path) -> tuple[Standing, Manifest, RunLayout]:
    manifest, layout = new_manifest(PLAN), RunLayout(tmp_path / "run")
    return Standing(manifest, layout, Halt(PLAN), keep=1, is_listed=True), manifest, layout


def statuses(layout: RunLayout) -> list[str]:
    return [record.status for record in Manifest.read(layout).trials]


def slow(clock: Clock, seconds: float, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let manifests take their time; the moments at which they were written."""
    moments: list[float] = []
    write = Manifest.write

    def write_slowly(manifest: Manifest, layout: RunLayout) -> None:
        moments.append(clock.now)
        clock.now += seconds
        write(manifest, layout)

    monkeypatch.setattr(Manifest, "write", write_slowly)
    return moments


def test_a_trial_carries_no_list_of_trials() -> None:
    carried = trainable_for(PLAN).plan
    assert (carried.trials, carried.num_trials) == ((), 6)
    assert [carried.trial(one.values, one.seed) for one in PLAN.trials] == list(PLAN.trials)


def test_configurations_are_handed_out_once_each_whoever_asks() -> None:
    listed = Listed([{"id": "a"}, {"id": "b"}])
    copied = copy.deepcopy({"trial": listed})["trial"]
    assert [listed.sample({}, random_state=None), copied.sample({})] == [{"id": "a"}, {"id": "b"}]


def test_tune_does_not_write_its_state_for_each_checkpoint() -> None:
    assert checkpoint_config().num_to_keep is None
    assert checkpoint_config().checkpoint_at_end


def test_the_first_change_is_written_at_once_and_the_next_when_they_are_due(
    run: tuple[Standing, Manifest, RunLayout], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, manifest, layout = run
    moments = slow(clock, 0.1, monkeypatch)
    first, second, *_ = (record.id for record in manifest.trials)
    one.note(first, RUNNING)
    assert statuses(layout)[0] == RUNNING
    one.note(second, RUNNING)
    one.on_step_begin(1, [])
    assert statuses(layout)[1] == PENDING, "0.1 s is a twentieth of 2 s"
    clock.now = 102.0
    one.on_step_begin(2, [])
    assert statuses(layout)[:2] == [RUNNING, RUNNING]
    clock.now = 200.0
    one.on_step_begin(3, [])
    assert moments == [100.0, 102.0], "nothing has changed since"


def test_a_change_never_waits_longer_than_that(
    run: tuple[Standing, Manifest, RunLayout], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _, _ = run
    moments = slow(clock, 5.0, monkeypatch)
    one.note_change()
    one.note_change()
    clock.now = 100.0 + standing.MOST_SECONDS
    one.on_step_begin(1, [])
    assert moments == [100.0, 130.0]


def test_what_is_not_due_is_written_at_the_end(run: tuple[Standing, Manifest, RunLayout]) -> None:
    one, manifest, layout = run
    for record in manifest.trials:
        one.note(record.id, RUNNING)
        one.note(record.id, FINISHED)
    one.write()
    assert statuses(layout) == [FINISHED] * 6


def test_checkpoints_of_a_trial_that_runs_are_thinned(run: tuple[Standing, Manifest, RunLayout]) -> None:
    one, manifest, layout = run
    trial_id = manifest.trials[0].id
    for index, score in enumerate([5.0, 9.0, 1.0, 2.0]):
        folder = layout.trial(trial_id) / f"checkpoint_{index:06}"
        folder.mkdir(parents=True)
        write_manifest(folder, {"env_steps": index, "score": score, "score_valid": True})
        one.on_trial_save(index, [], trial_id)
    left = [path.name for path in layout.checkpoint_folders(trial_id)]
    assert left == ["checkpoint_000001", "checkpoint_000003"], "the best and the newest"


class Controller:
    """Of Tune, with some trials."""

    def __init__(self, trials: list[Any]) -> None:
        self.trials, self.has_been_asked = trials, False
        self._resetting_trials: set[Any] = set()

    def _set_trial_status(self, trial: Any, status: str) -> None:
        trial.status = status

    def get_trials(self) -> list[Any]:
        self.has_been_asked = True
        return self.trials

    def get_live_trials(self) -> set[str]:
        return {"live"}


class Asking(FIFOScheduler):
    """Keeps what it was shown."""

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        self.shown = list(tune_controller.get_trials())
        self.live = tune_controller.get_live_trials()
        return super().choose_trial_to_run(tune_controller)


class FakeTrial:
    error_file = ""
    checkpoint = last_result = placement_group_factory = None

    def __init__(self, status: str) -> None:
        self.status = status


def test_a_scheduler_chooses_among_the_trials_that_have_not_ended() -> None:
    asking = Asking()
    unended = Unended(asking)
    states = [TuneTrial.TERMINATED, TuneTrial.RUNNING, TuneTrial.PENDING, TuneTrial.PENDING, TuneTrial.ERROR]
    ended, running, first, second, failed = trials = [FakeTrial(state) for state in states]
    controller = Controller(trials)
    for trial in trials:
        unended.on_trial_add(controller, trial)  # type: ignore[arg-type]
    assert unended.choose_trial_to_run(controller) is first
    assert asking.shown == [running, first, second, failed]
    assert (asking.live, controller.has_been_asked) == ({"live"}, False)
    failed.status, first.status = TuneTrial.PENDING, TuneTrial.TERMINATED
    unended.on_trial_add(controller, running)  # type: ignore[arg-type]
    unended.choose_trial_to_run(controller)
    assert asking.shown == [second, failed, running], "what is added again comes last"
    assert ended not in asking.shown


def test_a_trial_that_waits_for_its_retry_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlsweep.run.retrying.is_alive", lambda: True)
    monkeypatch.setattr("rlsweep.run.retrying.time.monotonic", lambda: now)
    now = 0.0
    waits, runs = FakeTrial(TuneTrial.RUNNING), FakeTrial(TuneTrial.RUNNING)
    waits.error_file = str(tmp_path / "error.txt")
    (tmp_path / "error.txt").write_text("ActorDiedError: its worker process has died", "utf-8")
    controller = Controller([waits, runs])
    asking = Asking()
    chooser = Unended(Retrying(asking, PLAN, Halt(PLAN), Kills(), []))
    for trial in (waits, runs):
        chooser.on_trial_add(controller, trial)  # type: ignore[arg-type]
    waits.status = TuneTrial.ERROR
    chooser.on_trial_error(controller, waits)  # type: ignore[arg-type]
    waits.status = TuneTrial.PENDING
    chooser.on_trial_add(controller, waits)  # type: ignore[arg-type]
    assert waits.status == TuneTrial.PAUSED
    assert chooser.choose_trial_to_run(controller) is None
    assert asking.shown == [runs]
    now = PLAN.sweep.failures.seconds_to_wait(1) + 1
    assert chooser.choose_trial_to_run(controller) is waits


def test_a_silent_trial_is_killed_though_not_every_event_looks(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[Any] = []
    monkeypatch.setattr("rlsweep.run.kills.ray.kill", killed.append)
    watch = Stalls(Kills(), most_seconds=20.0)
    trial = SimpleNamespace(status="RUNNING", temporary_state=SimpleNamespace(ray_actor="actor"))
    looks = 0

    class Trials(list[Any]):
        def __iter__(self) -> Any:
            nonlocal looks
            looks += 1
            return super().__iter__()

    watch.on_trial_start(0, [], trial)
    for tenth in range(211):
        clock.now = 100.0 + tenth / 10
        watch.on_step_begin(tenth, Trials([trial]))
    assert killed == ["actor"]
    assert looks <= 22, "once a second"
