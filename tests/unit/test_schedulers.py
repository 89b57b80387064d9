"""Results that do not count never reach a scheduler; those that do come with the keys it reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from rlsweep.plan import Machine, Plan, PlannedTrial, make
from rlsweep.run.past import Past
from rlsweep.run.schedulers import make_scheduler
from rlsweep.run.wrapped_schedulers import COMPARED, GRACES, Guarded
from rlsweep.spec import load
from rlsweep.store.manifest import Objective

ROOT = Path(__file__).parents[2]


class Recorder(TrialScheduler):
    """Stops every trial that it hears of."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        self.heard.append(("result", result))
        return "STOP"

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self.heard.append(("complete", result))

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self.heard.append(("remove", {}))


def row(score: float, valid: bool, env_steps: int = 3000) -> dict[str, Any]:
    return {"score": score, "score_valid": valid, "env_steps": env_steps}


@pytest.mark.parametrize("invalid", [row(math.nan, False), row(99.0, False), row(math.nan, True)])
def test_an_invalid_score_neither_kills_nor_crowns(invalid: dict[str, Any]) -> None:
    recorder = Recorder()
    guarded = Guarded(recorder, Objective("score", "maximize"))
    assert guarded.on_trial_result(None, None, invalid) == "CONTINUE"
    guarded.on_trial_complete(None, None, invalid)
    assert recorder.heard == [("remove", {})]


def test_a_valid_score_is_compared_in_units_of_the_grace() -> None:
    recorder = Recorder()
    guarded = Guarded(recorder, Objective("score", "maximize"), grace=1500)
    assert guarded.on_trial_result(None, None, row(7.0, True)) == "STOP"
    guarded.on_trial_complete(None, None, row(8.0, True))
    assert [(kind, result[COMPARED], result[GRACES]) for kind, result in recorder.heard] == [
        ("result", 7.0, 2.0),
        ("complete", 8.0, 2.0),
    ]


class SimulatedTrial:
    """As much of a Tune trial as Hyperband looks at."""

    is_saving = False

    def __init__(self, number: int, name: str) -> None:
        self.trial_id, self.number, self.name = str(number), number, name
        self.status, self.env_steps = "PENDING", 0

    def __str__(self) -> str:
        return self.name

    def set_status(self, status: str) -> None:
        self.status = status


class SimulatedController:
    def __init__(self, scheduler: TrialScheduler) -> None:
        self._scheduler = scheduler

    def stop_trial(self, trial: SimulatedTrial) -> None:
        if trial.status in ("PENDING", "PAUSED"):
            self._scheduler.on_trial_remove(self, trial)
        trial.status = "TERMINATED"


@dataclass
class Simulation:
    """A sweep of trials that only count, and what its history says."""

    plan: Plan
    trials: list[SimulatedTrial]
    rows: list[tuple[str, dict[str, Any]]]

    @classmethod
    def new(cls, plan: Plan) -> Simulation:
        return cls(plan, [SimulatedTrial(number, one.id) for number, one in enumerate(plan.trials)], [])

    def lengths(self) -> dict[str, int]:
        """Trial -> env steps of its last row, before it was made again or after."""
        rows = sorted(self.rows, key=lambda one: one[1]["env_steps"])
        return {name: one["env_steps"] for name, one in rows}

    def interrupted(self, rows_made_again: int) -> Simulation:
        """As it begins again: what has not ended waits, at an earlier row."""
        trials = []
        for trial in self.trials:
            again = SimulatedTrial(trial.number, trial.name)
            steps = [one["env_steps"] for name, one in self.rows if name == trial.name]
            again.env_steps = ([0] * rows_made_again + [0, *steps])[-1 - rows_made_again]
            again.status = trial.status if trial.status == "TERMINATED" else "PENDING"
            trials.append(again if again.status == "PENDING" else trial)
        return Simulation(self.plan, trials, list(self.rows))


def simulate(
    simulation: Simulation,
    row_env_steps: int,
    valid_from: int,
    slots: int,
    num_rows: int = 10**6,
    ends_at: Mapping[int, int] | None = None,
) -> list[SimulatedTrial]:
    """Run a plan's scheduler until no trial can run any more, or some rows have come."""
    plan, trials = simulation.plan, simulation.trials
    ended = frozenset(trial.name for trial in trials if trial.status == "TERMINATED")
    scheduler = make_scheduler(plan, Past(tuple(simulation.rows), ended))
    controller = SimulatedController(scheduler)
    for trial in trials:
        if trial.name not in ended:
            scheduler.on_trial_add(controller, trial)
    for _ in range(num_rows):
        running = [trial for trial in trials if trial.status == "RUNNING"]
        while len(running) < slots and (chosen := scheduler.choose_trial_to_run(controller)) is not None:
            chosen.status = "RUNNING"
            running.append(chosen)
        if not running:
            return trials
        trial = min(running, key=lambda trial: trial.env_steps)
        trial.env_steps += row_env_steps
        result = row(float(trial.number), trial.env_steps >= valid_from, trial.env_steps)
        simulation.rows.append((trial.name, result))
        length = (ends_at or {}).get(trial.number, plan.sweep.stop.env_steps)
        decision = "STOP" if trial.env_steps >= length else ""
        decision = decision or scheduler.on_trial_result(controller, trial, result)
        if decision == "STOP":
            scheduler.on_trial_complete(controller, trial, result)
        trial.status = {"STOP": "TERMINATED", "PAUSE": "PAUSED"}.get(decision, "RUNNING")
    return trials


@pytest.mark.parametrize(("grace", "factor"), [(300, 2), (500, 3), (1500, 2), (3000, 4)])
@pytest.mark.parametrize("row_env_steps", [256, 512, 2048, 4096])
@pytest.mark.parametrize("valid_from", [0, 2000, 4500])
def test_hyperband_leaves_no_trial_waiting(
    grace: int, factor: int, row_env_steps: int, valid_from: int
) -> None:
    overrides = [
        f"scheduler={{type: hyperband, grace: {grace}, reduction_factor: {factor}}}",
        "search.trials=8",
    ]
    plan = make(load("cartpole/random.yaml", overrides=overrides, root=ROOT).sweep, Machine.of(8, 0))
    trials = simulate(Simulation.new(plan), row_env_steps, valid_from, slots=2)
    assert [trial.status for trial in trials] == ["TERMINATED"] * 8
    assert max(trials, key=lambda trial: trial.env_steps).env_steps >= plan.sweep.stop.env_steps


@pytest.mark.parametrize(("grace", "factor"), [(300, 2), (500, 3), (1500, 2)])
@pytest.mark.parametrize("row_env_steps", [256, 512])
@pytest.mark.parametrize("rows_made_again", [0, 1, 3])
def test_hyperband_stops_the_same_trials_with_and_without_interruptions(
    grace: int, factor: int, row_env_steps: int, rows_made_again: int
) -> None:
    overrides = [
        f"scheduler={{type: hyperband, grace: {grace}, reduction_factor: {factor}}}",
        *("search.trials=16", "stop.env_steps=8k"),
    ]
    plan = make(load("cartpole/random.yaml", overrides=overrides, root=ROOT).sweep, Machine.of(8, 0))
    settings = {"row_env_steps": row_env_steps, "valid_from": 0, "slots": 2}
    whole = Simulation.new(plan)
    simulate(whole, **settings)
    expected = whole.lengths()
    assert len(set(expected.values())) >= 2, "some are stopped, some not"
    for moment in range(1, len(whole.rows), max(1, len(whole.rows) // 12)):
        simulation = Simulation.new(plan)
        simulate(simulation, **settings, num_rows=moment)
        for _ in range(2):  # the second time hardly anything has happened since the first
            simulation = simulation.interrupted(rows_made_again)
            simulate(simulation, **settings, num_rows=3)
        simulation = simulation.interrupted(rows_made_again)
        simulate(simulation, **settings)
        assert simulation.lengths() == expected, f"interrupted after {moment} rows"


def test_hyperband_does_not_wait_for_a_member_that_ended_by_itself() -> None:
    overrides = [
        "scheduler={type: hyperband, grace: 1000, reduction_factor: 3}",
        *("search.trials=17", "stop.env_steps=9k"),
    ]
    plan = make(load("cartpole/random.yaml", overrides=overrides, root=ROOT).sweep, Machine.of(8, 0))
    whole = simulate(Simulation.new(plan), row_env_steps=250, valid_from=0, slots=2)
    assert {trial.status for trial in whole} == {"TERMINATED"}
    for number in range(17):
        for moment in (1500, 2500):
            trials = simulate(
                Simulation.new(plan), row_env_steps=250, valid_from=0, slots=2, ends_at={number: moment}
            )
            assert {trial.status for trial in trials} == {"TERMINATED"}, f"{number} ended at {moment}"


def test_a_population_leaves_constants_alone() -> None:
    overrides = ["search.parameters.training.gamma={value: 0.99}"]
    sweep = load("cartpole/pbt.yaml", overrides=overrides, root=ROOT).sweep
    guarded = make_scheduler(make(sweep, Machine.of(8, 0)))
    assert isinstance(guarded, Guarded)
    mutations = guarded._scheduler._hyperparam_mutations["trial"]["values"]
    assert sorted(mutations) == ["training.lr", "training.num_epochs"]
    draws = [mutations["training.lr"]() for _ in range(50)]
    assert len(set(draws)) > 40
    assert all(1e-5 <= draw <= 1e-2 for draw in draws)
    explore = guarded._scheduler._custom_explore_fn
    values = {"training.lr": 0.5, "training.num_epochs": 12, "training.gamma": 0.99}
    kept = explore({"trial": {"values": values, "seed": 0}})["trial"]["values"]
    assert kept == {"training.lr": 1e-2, "training.num_epochs": 10, "training.gamma": 0.99}


class Named:
    """A Tune trial, as far as a scheduler looks at one that is shown by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


EVENTS = [
    (f"t{trial}", row(trial * math.sqrt(step) + 7 * math.sin(trial * step), True, 1000 * step))
    for step in range(1, 17)
    for trial in reversed(range(8))
]
"""Eight trials that are compared sixteen times."""


def stops(
    scheduler: TrialScheduler, events: list[tuple[str, dict[str, Any]]], ended: set[str]
) -> dict[str, int]:
    """Trial -> env steps at which it is stopped; ended ones send nothing."""
    trials = {name: Named(name) for name, _ in events}
    for name in trials.keys() - ended:
        scheduler.on_trial_add(Idle(), trials[name])  # type: ignore[arg-type]
    found: dict[str, int] = {}
    for name, result in events:
        if name not in ended | found.keys():
            decision = scheduler.on_trial_result(Idle(), trials[name], result)  # type: ignore[arg-type]
            if decision == TrialScheduler.STOP:
                found[name] = result["env_steps"]
    return found


class Idle:
    """Tune's controller of a sweep in which nothing waits."""

    def get_live_trials(self) -> list[Any]:
        return []


@pytest.mark.parametrize(
    "scheduler", ["{type: asha, grace: 1k, reduction_factor: 2}", "{type: median, grace: 3k, min_trials: 2}"]
)
@pytest.mark.parametrize("rows_made_again", [0, 3])
def test_the_same_trials_are_stopped_with_and_without_an_interruption(
    scheduler: str, rows_made_again: int
) -> None:
    overrides = [f"scheduler={scheduler}", "stop.env_steps=100k"]
    sweep = make(load("cartpole_ppo.yaml", overrides=overrides, root=ROOT).sweep, Machine.of(2, 0))
    whole = stops(make_scheduler(sweep), EVENTS, set())
    assert 2 <= len(whole) <= 7
    for moment in range(0, len(EVENTS), 5):
        first = stops(make_scheduler(sweep), EVENTS[:moment], set())
        past = [
            (name, result)
            for name, result in EVENTS[:moment]
            if result["env_steps"] <= first.get(name, math.inf)
        ]
        again = EVENTS[max(0, moment - 8 * rows_made_again) :]
        second = stops(make_scheduler(sweep, Past(tuple(past))), again, set(first))
        assert first | second == whole, f"interrupted after {moment} results"


class Counted:
    """As much of a Tune trial as PBT looks at."""

    def __init__(
        self, planned: PlannedTrial, values: dict[str, Any] | None = None, checkpoint: str = ""
    ) -> None:
        self.name, self.status = planned.id, "RUNNING"
        self.config = {"trial": {"id": planned.id, "values": values or planned.values, "seed": planned.seed}}
        if checkpoint:
            self.config["trial"]["checkpoint"] = checkpoint
        self.experiment_tag, self.evaluated_params = planned.id, {}
        self.run_metadata = SimpleNamespace(
            checkpoint_manager=SimpleNamespace(checkpoint_config=SimpleNamespace(num_to_keep=9))
        )

    def __str__(self) -> str:
        return self.name

    def is_finished(self) -> bool:
        return False


class Listed:
    """Tune's controller of a population that only counts; it notes who saves."""

    search_alg = None

    def __init__(self) -> None:
        self.saved: list[str] = []

    def get_trials(self) -> list[Any]:
        return []

    def _schedule_trial_save(self, trial: Counted, result: Any) -> None:
        self.saved.append(trial.name)


@pytest.mark.parametrize("method", ["pbt", "pb2"])
def test_a_population_goes_on_with_the_scores_that_it_had(method: str, tmp_path: Path) -> None:
    spec = load(f"cartpole/{method}.yaml", overrides=["scheduler.every=2k"], root=ROOT).sweep
    plan = make(spec, Machine.of(8, 0))
    rows = [
        (trial.id, row(10.0 * number + step, True, 1000 * step))
        for step in range(1, 8)
        for number, trial in enumerate(plan.trials)
    ]
    whole, again = make_scheduler(plan), make_scheduler(plan, Past(tuple(rows)))
    members = [Counted(trial) for trial in plan.trials]
    resumed = [Counted(trial, checkpoint=str(tmp_path)) for trial in plan.trials]
    for scheduler, trials in ((whole, members), (again, resumed)):
        for trial in trials:
            scheduler.on_trial_add(Listed(), trial)  # type: ignore[arg-type]
    inner = whole._scheduler  # type: ignore[attr-defined]
    inner._exploit = lambda *_: None  # what is exploited is Tune's own matter
    for name, result in rows:
        member = next(one for one in members if one.name == name)
        whole.on_trial_result(Listed(), member, result)  # type: ignore[arg-type]
    states = [
        {
            str(trial): (state.last_score, state.last_train_time, state.last_perturbation_time)
            for trial, state in scheduler._scheduler._trial_state.items()  # type: ignore[attr-defined]
        }
        for scheduler in (whole, again)
    ]
    assert states[0] == states[1]
    assert {time for _, _, time in states[1].values()} == {6000}
    lower, upper = again._scheduler._quantiles()  # type: ignore[attr-defined]
    assert [str(one) for one in lower] == [trial.id for trial in plan.trials[: len(lower)]]
    assert all(again._scheduler._trial_state[one].last_checkpoint for one in upper)  # type: ignore[attr-defined]
    again.on_trial_error(Listed(), resumed[0])  # type: ignore[arg-type]
    again.on_trial_add(Listed(), resumed[0])  # type: ignore[arg-type]
    state = again._scheduler._trial_state[resumed[0]]  # type: ignore[attr-defined]
    assert state.last_perturbation_time == 6000, "who fails comes back as what it was"
    if method == "pb2":
        told = [one._scheduler.data.drop(columns="Trial") for one in (whole, again)]  # type: ignore[attr-defined]
        assert sorted(told[0].to_numpy().tolist()) == sorted(told[1].to_numpy().tolist())
