"""Phases in a real Algorithm: promotion, demotion, checkpoints, exploits, env runners that die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from mlflow.tracking import MlflowClient

from analysis.reading import last_row_of
from rlsweep.errors import PreflightError
from rlsweep.plan import Machine, Plan, make
from rlsweep.rl import preflight
from rlsweep.run.session import ray_session
from rlsweep.run.trial import Trial, trainable_for
from rlsweep.spec import Sweep, load
from rlsweep.store.checkpoint import read_row
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest

SPEC = """
version: 1
name: phased
algorithm: {algorithm}
env: {{id: "phased_env:Phased-v0", kwargs: {{level: 1}}}}
network: {{name: mlp}}
training: {{lr: 3e-4, {training}}}
objective: {{metric: score, goal: maximize}}
resources: {{env_runners: {env_runners}, envs_per_env_runner: 4}}
stop: {{env_steps: 1M}}
curriculum:
  phases:
    - {{name: easy, until: {{score: 4, games: 8}}}}
    - {{name: scaled, env: {{kwargs: {{level: 2}}}}, training: {values}, until: {{env_steps: 1k}}}}
    - {{name: low, env: {{kwargs: {{level: -3}}}}}}
  demote: {{below: 0, for: 500, games: 8}}
search: {{method: grid, parameters: {{training.gamma: {{values: [0.9, 0.99]}}}}}}
"""
"""Games of Phased-v0 have 4 env steps and the score 4 x (level + index of the phase)."""

PPO = "train_batch_size_per_learner: 256, minibatch_size: 64, num_epochs: 1, entropy_coeff: 0.01"
DQN = "num_steps_sampled_before_learning_starts: 64, training_intensity: 1, epsilon: [[0, 1.0], [1k, 0.1]]"
PHASE_VALUES = {"ppo": "{lr: 1e-4, entropy_coeff: 0.005, clip_param: 0.1}", "dqn": "{lr: 1e-4, epsilon: 0.5}"}

Start = Callable[..., Trial]


def plan_of(folder: Path, machine: Machine, algorithm: str = "ppo", env_runners: int = 0) -> Plan:
    path = folder / "phased.yaml"
    training = DQN if algorithm == "dqn" else PPO
    values = PHASE_VALUES[algorithm]
    path.write_text(
        SPEC.format(algorithm=algorithm, training=training, values=values, env_runners=env_runners)
    )
    return make(load(path).sweep, machine)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """One whose workers find the environment above."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        with ray_session() as found:
            yield found


@pytest.fixture
def start(tmp_path: Path, machine: Machine) -> Iterator[Start]:
    """Starts trials of the sweep above, and ends them."""
    started: list[Trial] = []

    def begin(number: int = 0, **arguments: Any) -> Trial:
        plan = plan_of(tmp_path, machine, **arguments)
        started.append(trainable_for(plan)(plan.trials[number].tune_config))
        started[-1].begin()
        return started[-1]

    yield begin
    for trial in started:
        trial.cleanup()


def train_until(trial: Trial, phase: str) -> list[dict[str, Any]]:
    """Rows up to the first one in a phase."""
    rows = [trial.train()]
    while rows[-1]["curriculum/phase_name"] != phase:
        assert len(rows) < 60, [row["curriculum/phase_name"] for row in rows]
        rows.append(trial.train())
    return rows


def test_a_trial_goes_on_and_falls_back(start: Start) -> None:
    trial = start()
    first = trial.train()
    assert (first["curriculum/phase_name"], first["score"]) == ("easy", 4.0)
    assert (first["learner/lr"], first["learner/entropy_coeff"]) == pytest.approx((3e-4, 0.01))
    second = trial.train()
    assert (second["curriculum/phase"], second["curriculum/score"]) == (1, 12.0), "4 x (2 + 1)"
    changed = [second[f"learner/{name}"] for name in ("lr", "entropy_coeff", "clip_param")]
    assert changed == pytest.approx([1e-4, 0.005, 0.1])
    low = train_until(trial, "low")[-1]
    assert low["curriculum/score"] == -4.0, "4 x (-3 + 2)"
    assert (low["learner/lr"], low["learner/entropy_coeff"]) == pytest.approx((3e-4, 0.01)), (
        "the spec's again"
    )
    back = train_until(trial, "scaled")[-1]
    assert back["curriculum/score"] == 12.0
    assert back["learner/lr"] == pytest.approx(1e-4)
    assert back["curriculum/games"] < 100, "the window starts afresh"
    assert {row["frames"] == row["env_steps"] for row in (first, second, low, back)} == {True}


def test_dqn_explores_as_the_phase_says(start: Start) -> None:
    trial = start(algorithm="dqn")

    def epsilon() -> float:
        [found] = trial._algorithm.env_runner_group.foreach_env_runner(
            lambda runner: float(runner.module.epsilon_schedule.get_current_value())
        )
        return float(found)

    trial.train()
    assert epsilon() == 0.5
    train_until(trial, "low")
    assert epsilon() == pytest.approx(0.1), "the schedule of the spec, at its end"


def test_a_restored_trial_goes_on_in_its_phase(start: Start, tmp_path: Path) -> None:
    trial = start()
    row = train_until(trial, "scaled")[-1]
    trial.save_checkpoint(str(checkpoint := tmp_path / "checkpoint"))
    other = start(number=1)
    other.load_checkpoint(str(checkpoint))
    after = other.train()
    assert after["lineage"] is not None, "as an exploit of PBT"
    assert after["curriculum/phase_name"] == "scaled"
    assert after["curriculum/score"] == 12.0
    assert after["learner/lr"] == pytest.approx(1e-4)
    assert after["curriculum/games"] > row["curriculum/games"]
    train_until(other, "low")


def test_an_env_runner_that_restarts_plays_in_the_phase(start: Start) -> None:
    trial = start(env_runners=1)
    train_until(trial, "scaled")
    group = trial._algorithm.env_runner_group
    [actor] = group.foreach_env_runner(
        lambda _: ray.get_runtime_context().current_actor, local_env_runner=False
    )
    ray.kill(actor, no_restart=False)
    deadline = time.monotonic() + 300

    def seen(runner: Any) -> tuple[bool, int, float]:
        restarted = ray.get_runtime_context().was_current_actor_reconstructed
        game = runner.env.unwrapped.envs[0].unwrapped
        return restarted, game._phase, game._level

    while not (found := group.foreach_env_runner(seen, local_env_runner=False)) or not found[0][0]:
        assert time.monotonic() < deadline
        assert trial.train()["curriculum/phase_name"] == "scaled"
    assert found == [(True, 1, 2)]


def test_phases_have_the_same_spaces(tmp_path: Path, machine: Machine) -> None:
    plan = plan_of(tmp_path, machine)
    other = plan.sweep.as_written()
    other["curriculum"]["phases"][1]["env"] = {"id": "CartPole-v1"}
    changed = make(type(plan.sweep).parse(other), machine)
    with pytest.raises(PreflightError, match="phase 'scaled': its observations are Box") as caught:
        preflight.check(changed)
    assert caught.value.key == "curriculum.phases.1.env"


@pytest.mark.parametrize(("evaluate_in", "score"), [("env", 4.0), ("phase", 12.0)])
def test_evaluation_games_are_played_where_the_spec_says(
    evaluate_in: str, score: float, tmp_path: Path, machine: Machine
) -> None:
    data = plan_of(tmp_path, machine).sweep.as_written()
    data["curriculum"] |= {
        "evaluate_in": evaluate_in,
        "schedule": [[0, "easy"], [200, "scaled"]],
        "demote": None,
    }
    data["curriculum"]["phases"] = [{**phase, "until": None} for phase in data["curriculum"]["phases"][:2]]
    data["evaluation"] = {"every": 1, "games": 2}
    plan = make(Sweep.parse(data), machine)
    trial = trainable_for(plan)(plan.trials[0].tune_config)
    try:
        assert trial.train()["evaluation/score"] == 4.0
        assert trial.train()["evaluation/score"] == score
    finally:
        trial.cleanup()


KILLED = """
version: 1
name: killed
algorithm: ppo
env: {id: "phased_env:Phased-v0", kwargs: {level: 1}}
network: {name: mlp}
training: {train_batch_size_per_learner: 256, minibatch_size: 64, num_epochs: 2}
objective: {metric: score, goal: maximize}
resources: {envs_per_env_runner: 4}
checkpoints: {every: 1k, keep: 100}
failures: {max_retries: 1, backoff: 1s}
stop: {env_steps: 60k}
curriculum:
  phases:
    - {name: first, until: {env_steps: 2k}}
    - {name: second, until: {env_steps: 50k}}
    - {name: third}
"""


def has_rows_after_its_last_checkpoint(layout: RunLayout) -> bool:
    [record] = Manifest.read(layout).trials
    saved = max(read_row(path)["env_steps"] for path in layout.checkpoints(record.id))
    return bool(last_row_of(layout.result_json(record.id))["env_steps"] > saved)


def test_a_trial_that_is_killed_in_its_second_phase_goes_on_in_it(tmp_path: Path) -> None:
    spec = tmp_path / "killed.yaml"
    spec.write_text(KILLED)
    layout = Storage(tmp_path).run("killed")
    command = [sys.executable, "-c", "from rlsweep.cli import main; main()", "run", str(spec)]
    environment = {**os.environ, "RLSWEEP_STORAGE": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    checkpoints: list[Path] = []
    while len(checkpoints) < 4:  # one in the first phase, the others in the second
        assert time.monotonic() < deadline
        assert process.poll() is None
        checkpoints = sorted(layout.root.glob("*/checkpoint_*/MANIFEST*"))
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    [trial] = [child for child in children if child.name().startswith("ray::Trial")]
    while True:
        trial.suspend()
        time.sleep(0.3)
        if has_rows_after_its_last_checkpoint(layout):
            break
        trial.resume()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    trial.kill()
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 0, messages
    [record] = Manifest.read(layout).trials
    lines = [json.loads(line) for line in layout.result_json(record.id).read_text().splitlines()]
    env_steps = [row["env_steps"] for row in lines]
    [again] = [index for index in range(1, len(lines)) if env_steps[index] <= env_steps[index - 1]]
    phases = [row["curriculum/phase_name"] for row in lines]
    assert (phases[0], phases[again - 1], phases[again], phases[-1]) == ("first", "second", "second", "third")
    assert "first" not in phases[again:]
    before, after = lines[again - 1], lines[again]
    assert 2000 <= after["env_steps"] - after["curriculum/env_steps"] <= 2000 + 256 * 2, "since the promotion"
    assert after["curriculum/env_steps"] <= before["curriculum/env_steps"] + 256
    client = MlflowClient(Storage(tmp_path).tracking_uri)
    assert client.get_run(record.mlflow_run_id).data.tags["rlsweep.phase"] == "third"
    tracked = client.get_metric_history(record.mlflow_run_id, "curriculum/phase")
    assert {point.value for point in tracked} == {0.0, 1.0, 2.0}
