"""The study of Optuna that is written of a run: states, values, parameters, curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from rlsweep.errors import RunError
from rlsweep.run.study import MAX_POINTS, write_study
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import CONFIRM, SEARCH, Manifest, Objective, TrialRecord

BEGIN = 1_700_000_000
SCORE = Objective("score", "maximize")
LR = {"training.lr": {"distribution": "log_uniform", "min": 1e-5, "max": 1e-2}}


class Run:
    """A run folder that a test fills."""

    def __init__(self, root: Path, spec: dict[str, Any], objectives: Sequence[Objective]) -> None:
        self.layout = Storage(root).run("r")
        self._spec, self._objectives = spec, list(objectives)
        self.records: list[TrialRecord] = []

    def add(
        self,
        config_id: str,
        seed: int,
        status: str = "finished",
        scores: Sequence[float] = (),
        phase: str = SEARCH,
        first: int = 1,
        values: dict[str, Any] | None = None,
        more: Mapping[str, float] | None = None,
    ) -> None:
        """A trial with a row, of its score, every 1,000 env steps and 10 seconds, from the `first` on."""
        record = TrialRecord(f"{config_id}-{seed}", config_id, values or {}, seed, "", "", phase, status)
        rows: list[dict[str, Any]] = [
            {
                "score": score,
                "score_valid": True,
                "env_steps": 1000 * step,
                "seconds": 10.0 * step,
                "timestamp": BEGIN + 100 * seed + 10 * step,
            }
            for step, score in enumerate(scores, first)
        ]
        for row in rows:
            row |= more or {}
        self.records.append(record)
        self.layout.trial(record.id).mkdir(parents=True)
        self.layout.result_json(record.id).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def write(self) -> optuna.Study:
        """Write manifest and study; the study as anyone reads it."""
        created = "2023-11-14T00:00:00+00:00"
        manifest = Manifest("r", self._spec, "", "", "", self._objectives, created, "", {}, self.records)
        manifest.write(self.layout)
        return read(write_study(self.layout))


def read(path: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(path)))
    assert optuna.get_all_study_names(storage) == ["r"]
    return optuna.load_study(study_name="r", storage=storage)


def spec(parameters: dict[str, Any], seeds: Sequence[int] = (0, 1), **search: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "r",
        "algorithm": "ppo",
        "env": {"id": "CartPole-v1"},
        "network": {"name": "mlp"},
        "objective": [{"goal": "maximize"}],
        "stop": {"env_steps": 3000},
        "seeds": list(seeds),
        "search": {"parameters": parameters, **search},
    }


def grid(tmp_path: Path, parameters: dict[str, Any]) -> Run:
    return Run(tmp_path, spec(parameters, method="grid"), [SCORE])


def tpe(tmp_path: Path, parameters: dict[str, Any] = LR) -> Run:
    return Run(tmp_path, spec(parameters, method="tpe", trials=9), [SCORE])


def test_a_grid_over_two_seeds(tmp_path: Path) -> None:
    run = grid(tmp_path, {"training.lr": {"values": [0.1, 0.01]}})
    for seed in (0, 1):
        run.add("b", seed, scores=[1, 2, 6 + seed], values={"training.lr": 0.01})
        run.add("a", seed, scores=[5, 4][: 2 - seed], values={"training.lr": 0.1})
    study = run.write()
    assert [one.name for one in study.directions] == ["MAXIMIZE"]
    assert study.metric_names == ["score"]
    first, second = study.trials
    assert (first.state, first.values, second.values) == (TrialState.COMPLETE, [6.5], [4.5])
    assert (first.params, second.params) == ({"training.lr": 0.01}, {"training.lr": 0.1})
    assert first.distributions == {"training.lr": CategoricalDistribution([0.1, 0.01])}
    assert first.intermediate_values == {1000: 1, 2000: 2, 3000: 6.5}
    assert second.intermediate_values == {1000: 5}, "as far as both seeds got"
    assert first.user_attrs == {
        "configuration": "b",
        "seeds": [0, 1],
        "trials": ["b-0", "b-1"],
        "statuses": ["finished", "finished"],
        "last score": [6, 7],
    }
    assert first.datetime_start == datetime.fromtimestamp(BEGIN)
    assert first.datetime_complete == datetime.fromtimestamp(BEGIN + 130)


def test_a_search_that_learns(tmp_path: Path) -> None:
    run = tpe(tmp_path)
    for number, (config_id, states) in enumerate(
        {
            "whole": ("finished", "finished"),
            "pruned": ("finished", "stopped"),
            "diverged": ("finished", "diverged"),
            "crashed": ("failed", "failed"),
            "one crashed": ("failed", "finished"),
            "runs": ("finished", "running"),
            "one to come": ("finished",),
            "interrupted": ("interrupted", "pending"),
        }.items()
    ):
        for seed, status in enumerate(states):
            scores = [] if status == "pending" else [1.0, 2.0 + seed, 4.0][: 2 if status == "stopped" else 3]
            run.add(config_id, seed, status, scores, values={"training.lr": 1e-4 * (number + 1)})
    study = run.write()
    found = {trial.user_attrs["configuration"]: trial for trial in study.trials}
    assert {name: (trial.state.name, trial.values) for name, trial in found.items()} == {
        "whole": ("COMPLETE", [4.0]),
        "pruned": ("PRUNED", [3.5]),
        "diverged": ("FAIL", None),
        "crashed": ("FAIL", None),
        "one crashed": ("COMPLETE", [4.0]),
        "runs": ("RUNNING", None),
        "one to come": ("RUNNING", None),
        "interrupted": ("WAITING", None),
    }
    assert found["pruned"].intermediate_values == {1000: 1, 2000: 2.5}
    assert found["diverged"].intermediate_values == {1000: 1, 2000: 2, 3000: 4}, "of the other seed"
    assert found["diverged"].user_attrs["last score"] == [4, None]
    assert found["crashed"].intermediate_values == found["interrupted"].intermediate_values == {}
    assert found["runs"].datetime_start == datetime.fromtimestamp(BEGIN)
    assert found["runs"].datetime_complete is found["interrupted"].datetime_start is None
    assert found["whole"].distributions == {"training.lr": FloatDistribution(1e-5, 1e-2, log=True)}
    assert study.best_trial.values == [4.0]


def test_a_pruned_configuration_whose_seeds_have_no_common_part_has_its_value_as_a_point(
    tmp_path: Path,
) -> None:
    run = tpe(tmp_path)
    run.add("a", 0, "stopped", [3], values={"training.lr": 1e-3})
    run.add("a", 1, "stopped", [5], first=4, values={"training.lr": 1e-3})
    (trial,) = run.write().trials
    assert (trial.state, trial.values, trial.intermediate_values) == (TrialState.PRUNED, [4], {1000: 4})


def test_a_seed_that_a_list_does_not_ask_for_is_not_waited_for(tmp_path: Path) -> None:
    run = grid(tmp_path, {})
    run.add("earlier seed", 7, scores=[2])
    assert [trial.state for trial in run.write().trials] == [TrialState.COMPLETE]


def test_two_objectives(tmp_path: Path) -> None:
    run = Run(tmp_path, spec({}), [SCORE, Objective("seconds", "minimize", "worst")])
    for config_id, status, scores in (
        ("good", "finished", [1, 9]),
        ("fast", "finished", [3]),
        ("bad", "finished", [1, 0]),
        ("stopped", "stopped", [8]),
    ):
        for seed in (0, 1):
            run.add(config_id, seed, status, scores, more={"seconds": 10.0 * len(scores) + seed})
    study = run.write()
    assert [one.name for one in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["score", "seconds"]
    assert [trial.values for trial in study.trials] == [[9, 21], [3, 11], [0, 21], None]
    assert study.trials[3].state == TrialState.FAIL, "Optuna prunes for one objective"
    assert study.trials[3].user_attrs["statuses"] == ["stopped", "stopped"]
    assert study.trials[3].user_attrs["last seconds"] == [10, 11]
    assert {trial.user_attrs["configuration"] for trial in study.best_trials} == {"good", "fast"}


def test_two_objectives_of_one_key_have_two_names(tmp_path: Path) -> None:
    run = Run(tmp_path, spec({}), [SCORE, Objective("score", "maximize", "worst")])
    for seed in (0, 1):
        run.add("a", seed, scores=[seed])
    study = run.write()
    assert study.metric_names == ["score mean", "score worst"]
    assert study.trials[0].values == [0.5, 0]


def test_an_objective_that_waits_for_a_score_has_the_score_as_its_curve(tmp_path: Path) -> None:
    objective = Objective("env_steps_to/5", "minimize", threshold=5.0, most_env_steps=3000)
    run = Run(tmp_path, spec({}), [objective])
    run.add("reached", 0, scores=[1, 5], more={"env_steps_to/5": 2000})
    run.add("never", 0, scores=[1, 2], more={"env_steps_to/5": float("nan")})
    study = run.write()
    assert [trial.values for trial in study.trials] == [[2000], [6000]], "twice the length of a trial"
    assert study.trials[0].intermediate_values == {1000: 1, 2000: 5}


def test_choices_that_optuna_cannot_keep_are_json(tmp_path: Path) -> None:
    parameters = {
        "network.fcnet_hiddens": {"values": [[64, 64], [32]]},
        "training.grad_clip": {"values": [True, 1, None]},
        "training.num_epochs": {"values": [2, 4, 8], "zip": "training.grad_clip"},
        "network.fcnet_activation": {"values": ["relu", "tanh"]},
    }
    run = grid(tmp_path, parameters)
    tried = [
        dict(zip(parameters, values, strict=True))
        for values in (([32], 1, 4, "tanh"), ([64, 64], True, 2, "relu"), ([32], None, 8, "relu"))
    ]
    for number, values in enumerate(tried):
        run.add(f"c{number}", 0, scores=[1], values=values)
    trials = run.write().trials
    distributions = trials[0].distributions
    assert distributions["network.fcnet_hiddens"] == CategoricalDistribution(["[64, 64]", "[32]"])
    assert distributions["training.num_epochs"] == CategoricalDistribution([2, 4, 8])
    as_text = ("network.fcnet_hiddens", "training.grad_clip")
    found = [{p: json.loads(v) if p in as_text else v for p, v in one.params.items()} for one in trials]
    assert repr(found) == repr(tried), "true is not 1"


def test_ranges_and_conditions(tmp_path: Path) -> None:
    parameters = {
        "training.num_epochs": {"min": 2, "max": 9, "step": 3},
        "training.gamma": {"mu": 0.9, "sigma": 0.01},
        "training.lr": {"mu": -9.0, "sigma": 1.0, "distribution": "log_normal"},
        "training.use_kl_loss": {"values": [True, False]},
        "training.kl_coeff": {"min": 0.1, "max": 1.0, "when": {"training.use_kl_loss": True}},
    }
    run = tpe(tmp_path, parameters)
    with_kl = dict(zip(parameters, (8, 0.7, 1e-4, True, 0.5), strict=True))
    without = dict(zip(list(parameters)[:4], (2, 0.91, 1e-3, False), strict=True))
    for seed in (0, 1):
        run.add("with", seed, scores=[1], values=with_kl)
        run.add("without", seed, scores=[2], values=without)
    first, second = run.write().trials
    assert (first.params, second.params) == (with_kl, without)
    assert first.distributions["training.num_epochs"] == IntDistribution(2, 8, step=3)
    assert first.distributions["training.kl_coeff"] == FloatDistribution(0.1, 1.0)
    gamma, lr = first.distributions["training.gamma"], first.distributions["training.lr"]
    assert isinstance(gamma, FloatDistribution)
    assert gamma.low == 0.7, "a point of the spec may lie further out"
    assert gamma.high == pytest.approx(0.96, abs=1e-3), "six standard deviations"
    assert isinstance(lr, FloatDistribution)
    assert lr.log
    assert lr.low < 1e-6 < 1e-2 < lr.high


def test_a_value_outside_of_the_present_range_is_kept(tmp_path: Path) -> None:
    run = tpe(tmp_path, LR | {"training.num_epochs": {"values": [2, 4]}})
    for config_id, lr, num_epochs in (("now", 1e-3, 4), ("before", 0.5, 16)):
        values = {"training.lr": lr, "training.num_epochs": num_epochs}
        run.add(config_id, 0, scores=[1], values=values)
    trials = run.write().trials
    assert [trial.params["training.lr"] for trial in trials] == [1e-3, 0.5]
    assert trials[0].distributions == {
        "training.lr": FloatDistribution(1e-3, 0.5, log=True),
        "training.num_epochs": CategoricalDistribution([2, 4, 16]),
    }


def test_a_spec_of_another_version(tmp_path: Path) -> None:
    run = Run(tmp_path, {"version": 99, "space": {"lr": [1, 2]}}, [SCORE])
    tried: dict[str, dict[str, Any]] = {
        "a": {"lr": 1e-4, "epochs": 4, "net": [64], "kind": "x"},
        "b": {"lr": 1e-2, "epochs": 8, "net": [32], "kind": None},
        "c": {"lr": 1e-3},
    }
    for config_id, values in tried.items():
        run.add(config_id, 0, scores=[3], values=values)
    study = run.write()
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert study.trials[2].params == {"lr": 1e-3}
    assert study.trials[1].params == {"lr": 1e-2, "epochs": 8, "net": "[32]", "kind": None}
    assert study.trials[0].distributions == {
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "epochs": IntDistribution(4, 8),
        "net": CategoricalDistribution(["[64]", "[32]"]),
        "kind": CategoricalDistribution(["x", None]),
    }


def test_a_run_where_nothing_has_finished(tmp_path: Path) -> None:
    run = tpe(tmp_path)
    assert run.write().trials == [], "nothing was proposed"
    run.add("a", 0, "running", values={"training.lr": 1e-3})
    run.add("b", 0, "pending", values={"training.lr": 1e-4})
    first, second = run.write().trials
    assert (first.state, second.state) == (TrialState.RUNNING, TrialState.WAITING)
    assert first.datetime_start is not None
    assert first.datetime_start.astimezone() == datetime.fromisoformat("2023-11-14T00:00:00+00:00")
    assert first.user_attrs["last score"] == [None]


def test_confirming_seeds_are_an_attribute(tmp_path: Path) -> None:
    run = tpe(tmp_path)
    for config_id in ("a", "b", "c"):
        for seed in (0, 1):
            run.add(config_id, seed, scores=[9], values={"training.lr": 1e-3})
    for config_id, status in (("a", "finished"), ("b", "running")):
        for seed in (1000, 1001):
            run.add(config_id, seed, status, [seed - 996], CONFIRM, values={"training.lr": 1e-3})
    trials = run.write().trials
    assert [trial.values for trial in trials] == [[9], [9], [9]]
    assert [trial.user_attrs.get("confirmed score") for trial in trials] == [4.5, None, None]
    assert trials[0].user_attrs["seeds"] == [0, 1]
    assert trials[0].datetime_complete == datetime.fromtimestamp(BEGIN + 110), "of the search"


def test_a_configuration_that_has_confirming_seeds_alone(tmp_path: Path) -> None:
    run = grid(tmp_path, {})
    run.add("a", 1000, scores=[5], phase=CONFIRM)
    (trial,) = run.write().trials
    assert (trial.values, trial.user_attrs["confirmed score"]) == ([5], 5)


def test_a_long_curve_is_thinned_to_its_last_point(tmp_path: Path) -> None:
    run = grid(tmp_path, {})
    run.add("a", 0, scores=range(1001))
    (trial,) = run.write().trials
    steps = sorted(trial.intermediate_values)
    assert (len(steps), steps[0], steps[-1]) == (MAX_POINTS, 1000, 1001_000)
    assert all(value == step / 1000 - 1 for step, value in trial.intermediate_values.items())


def test_a_curve_is_that_of_all_seeds(tmp_path: Path) -> None:
    run = grid(tmp_path, {})
    run.add("a", 0, scores=[1, 2, 3])
    run.add("a", 1, scores=[20, 30, 40], first=2)
    (trial,) = run.write().trials
    assert trial.intermediate_values == {2000: 11, 3000: 16.5}, "else it would jump where one begins"


def test_scores_of_too_few_games_are_no_points(tmp_path: Path) -> None:
    run = grid(tmp_path, {})
    run.add("a", 0, scores=[5], more={"score_valid": False})
    (trial,) = run.write().trials
    assert (trial.state, trial.values, trial.intermediate_values) == (TrialState.FAIL, None, {})


def test_writing_again_replaces_the_study(tmp_path: Path) -> None:
    run = tpe(tmp_path)
    run.add("a", 0, scores=[1], values={"training.lr": 1e-3})
    study = run.write()
    assert [trial.state.name for trial in study.trials] == ["RUNNING"]
    study.set_user_attr("note", "of somebody else")
    run.add("a", 1, scores=[3], values={"training.lr": 1e-3})
    run.add("b", 0, "running", values={"training.lr": 1e-4})
    again = run.write()
    assert [(trial.state.name, trial.values) for trial in again.trials] == [
        ("COMPLETE", [2]),
        ("RUNNING", None),
    ]
    assert again.user_attrs == {}
    assert [path.name for path in run.layout.root.glob("study*")] == ["study.log"]


def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"sweep\.json is missing"):
        write_study(RunLayout(tmp_path / "nothing"))
    run = grid(tmp_path, {})
    run.add("a", 0, scores=[1])
    (run.layout.root / "study.log").mkdir()
    with pytest.raises(RunError, match=r"study\.log cannot be written"):
        run.write()
    assert [path.name for path in run.layout.root.glob("study*")] == ["study.log"], "nothing half-written"
