"""A sweep for each search method and each scheduler, run for real on CartPole; the best found is printed."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest

from analysis.comparison import compare, winner
from analysis.history import RunHistory, read_run
from rlsweep.plan import Machine, TrialResources, make
from rlsweep.run.launch import launch
from rlsweep.spec import load
from rlsweep.spec.sweep import CONFIRMING_SEEDS
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import CONFIRM, DIVERGED, ENDED, STOPPED

ROOT = Path(__file__).parents[2]
SPECS = sorted(path.stem for path in (ROOT / "sweeps" / "cartpole").glob("*.yaml"))


def sweep(name: str, machine: Machine, storage: Path, *overrides: str) -> tuple[RunHistory, RunLayout]:
    plan = make(load(f"cartpole/{name}.yaml", overrides=list(overrides), root=ROOT).sweep, machine)
    launched = launch(plan, Storage(storage))
    layout = Storage(storage).run(plan.sweep.name)
    run = read_run(layout)
    assert launched.limit == ""
    return run, layout


def test_there_is_one_for_each() -> None:
    schedulers = {"asha", "hyperband", "median", "pbt", "pb2"}
    assert set(SPECS) == {"grid", "random", "sobol", "tpe", "cmaes", "gp", "nsga2"} | schedulers


@pytest.mark.parametrize("name", SPECS)
def test_a_method_finds_a_best_configuration(name: str, machine: Machine, tmp_path: Path) -> None:
    run, layout = sweep(name, machine, tmp_path)
    records = run.manifest.trials
    assert {record.status for record in records} <= set(ENDED)
    best = winner(run)
    print(f"{name}: {best.config_id}, {run.objective.key} {best.value:.1f} ({best.seeds_text})")
    assert best.value > 30, "a random policy has about 22"
    if name in ("asha", "hyperband"):
        assert any(record.status == STOPPED for record in records)
    if name in ("random", "tpe"):
        assert all(
            ("training.kl_coeff" in record.values) == record.values["training.use_kl_loss"]
            for record in records
        )
    if name == "random":
        assert best.is_confirmed
        assert [record.seed for record in records if record.phase == CONFIRM] == [
            CONFIRMING_SEEDS,
            CONFIRMING_SEEDS + 1,
        ]
    if name == "nsga2":
        assert 1 <= sum(found.on_front for found in compare(run)) < len(records)
    if name in ("pbt", "pb2"):
        check_lineage(run, layout)


def check_lineage(run: RunHistory, layout: RunLayout) -> None:
    """After an exploit the rows carry the learning rate that was asked for, from their first one on."""
    events = 0
    for trial in run.trials:
        path = layout.trial(trial.record.id) / RunLayout.LINEAGE_JSON
        lines = path.read_text("utf-8").splitlines() if path.is_file() else []
        for event in map(json.loads, lines):
            events += 1
            assert event["donor"] in {record.id for record in run.manifest.trials} - {trial.record.id}
        if lines:
            last = json.loads(lines[-1])
            iteration = 256  # half of one: the trial's own rows before may stand a little beyond the donor's
            after = trial.rows[trial.rows["env_steps"] > last["donor_env_steps"] + iteration]
            assert len(after)
            assert after["learner/lr"].to_numpy() == pytest.approx(last["values"]["training.lr"])
    assert events


def test_a_search_that_learns_goes_on_with_more_trials(machine: Machine, tmp_path: Path) -> None:
    small = ("seeds=1", "stop.env_steps=2k")
    first, _ = sweep("tpe", machine, tmp_path, *small, "search.trials=3")
    again, _ = sweep("tpe", machine, tmp_path, *small, "search.trials=3")
    assert [record.id for record in again.manifest.trials] == [record.id for record in first.manifest.trials]
    more, _ = sweep("tpe", machine, tmp_path, *small, "search.trials=5")
    ids = [record.id for record in more.manifest.trials]
    assert ids[:3] == [record.id for record in first.manifest.trials]
    assert len(set(ids)) == 5


def test_a_search_that_learns_fills_the_machine(machine: Machine, tmp_path: Path) -> None:
    run, _ = sweep("tpe", machine, tmp_path, "seeds=1", "search.trials=3", "stop.env_steps=40k")
    spans = [
        (float(trial.rows["timestamp"].iloc[0]), float(trial.rows["timestamp"].iloc[-1]))
        for trial in run.trials
    ]
    overlaps = [(one, other) for one, other in combinations(sorted(spans), 2) if other[0] < one[1]]
    assert overlaps, f"one after the other on {machine.cpus} CPUs: {spans}"


def test_a_diverged_trial_is_stopped_and_told(machine: Machine, tmp_path: Path) -> None:
    run, _ = sweep(
        "sobol",
        machine,
        tmp_path,
        "search.parameters={training.lr: {values: [1e-3, 1e36]}}",
        "search.trials=2",
        "stop.env_steps=20k",
    )
    statuses = {record.values["training.lr"]: record.status for record in run.manifest.trials}
    assert statuses == {1e-3: "finished", 1e36: DIVERGED}
    assert winner(run).config_id.startswith("lr=0.001,")


def test_gpu_hours_are_counted_while_trials_run(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine has no GPU: the trials are only counted as if each took one."""
    overrides = ["budget.gpu_hours=0.001", "stop.env_steps=2M"]
    plan = make(load("cartpole/sobol.yaml", overrides=overrides, root=ROOT).sweep, machine)
    monkeypatch.setattr(TrialResources, "gpus", property(lambda _: 1.0))
    launched = launch(plan, Storage(tmp_path))
    assert "budget.gpu_hours" in launched.limit
    run = read_run(Storage(tmp_path).run(plan.sweep.name))
    assert any(len(trial.rows) for trial in run.trials)
    assert all(trial.rows["env_steps"].max() < 2_000_000 for trial in run.trials if len(trial.rows))


def test_a_budget_that_the_last_row_spends_has_cut_nothing_off(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ["budget.gpu_hours=1e-6", "search.trials=1", "seeds=1", "stop.env_steps=1"]
    plan = make(load("cartpole/sobol.yaml", overrides=overrides, root=ROOT).sweep, machine)
    monkeypatch.setattr(TrialResources, "gpus", property(lambda _: 1.0))
    launched = launch(plan, Storage(tmp_path))
    assert [record.status for record in launched.manifest.trials] == ["finished"]
    assert launched.limit == ""
