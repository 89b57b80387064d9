"""What every callback of a trial has to keep to, tried on real trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.callbacks import shipped_callbacks
from rlsweep.errors import PreflightError
from rlsweep.plan import Machine, make
from rlsweep.rl import preflight
from rlsweep.run.trial import Trial, trainable_for
from rlsweep.spec import load
from rlsweep.store import rows

SPEC = """
version: 1
name: callbacks
algorithm: {algorithm}
env: {{id: CartPole-v1}}
network: {{name: mlp}}
training: {{lr: 1e-3, {training}}}
objective: {{metric: score, goal: maximize}}
resources: {{env_runners: {env_runners}, envs_per_env_runner: 4}}
stop: {{env_steps: 1M}}
callbacks: [{callbacks}]
"""
TRAINING = {
    "ppo": "train_batch_size_per_learner: 256, minibatch_size: 64, num_epochs: 2",
    "impala": "train_batch_size_per_learner: 200",
    "dqn": "num_steps_sampled_before_learning_starts: 64, training_intensity: 1",
}
TIMES = ("seconds", "steps_per_second", "timers/", "timestamp", "custom/")
"""What no two trials have in common, or what the callbacks add."""

Start = Callable[..., Trial]


SHIPPED = shipped_callbacks()


def test_there_are_so_many() -> None:
    assert SHIPPED == [
        "callbacks.worker.actions:ActionHistogram",
        "callbacks.worker.learner_diagnostics:LearnerDiagnostics",
        "callbacks.worker.norms:GradientNorms",
        "callbacks.worker.norms:WeightNorms",
        "callbacks.worker.policy_entropy:PolicyEntropy",
        "callbacks.worker.system_use:SystemUse",
        "callbacks.worker.throughput:Throughput",
        "callbacks.worker.value_stats:ValueStats",
    ]


@pytest.fixture
def start(tmp_path: Path, machine: Machine) -> Iterator[Start]:
    """Starts trials with callbacks, and ends them."""
    started: list[Trial] = []

    def begin(callbacks: list[str], algorithm: str = "ppo", env_runners: int = 0) -> Trial:
        path = tmp_path / "spec.yaml"
        names = ", ".join(callbacks)
        training = TRAINING[algorithm]
        path.write_text(
            SPEC.format(algorithm=algorithm, training=training, env_runners=env_runners, callbacks=names)
        )
        plan = make(load(path).sweep, machine)
        started.append(trainable_for(plan)(plan.trials[0].tune_config))
        started[-1].begin()
        return started[-1]

    yield begin
    for trial in started:
        trial.cleanup()


def custom(row: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in row.items() if key.startswith(rows.CUSTOM_PREFIX)}


def three_rows(trial: Trial) -> list[dict[str, Any]]:
    return [trial.train() for _ in range(3)]


@pytest.mark.parametrize(("algorithm", "env_runners"), [("ppo", 0), ("dqn", 0), ("impala", 1)])
def test_keys_are_there_from_the_first_row_on_and_get_values(
    algorithm: str, env_runners: int, start: Start
) -> None:
    trial = start(SHIPPED, algorithm, env_runners)
    first = custom(trial.train())
    latest = dict(first)  # the last value of each key that was one
    for _ in range(20):
        row = custom(trial.train())
        assert list(row) == list(first)
        latest |= {key: value for key, value in row.items() if math.isfinite(value)}
        missing = [key for key, value in latest.items() if not math.isfinite(value)]
        if missing == ["custom/system/gpu_memory_gib", "custom/system/gpu_use_share"]:
            break
    else:
        pytest.fail(f"no value came for {missing}")
    shares = [latest[f"custom/action_share/{index}"] for index in range(2)]
    assert sum(shares) == pytest.approx(1)
    assert latest["custom/action_share/max"] == max(shares)
    assert 0 < latest["custom/throughput/learning_share"] < 1.5
    layers = [key.removeprefix("custom/weight_norm/") for key in latest if "weight_norm" in key]
    assert layers == [key.removeprefix("custom/gradient_norm/") for key in latest if "gradient_norm" in key]
    assert len(layers) >= 3
    assert latest["custom/system/memory_gib"] > 0.1


@pytest.mark.parametrize("name", SHIPPED)
def test_a_callback_changes_nothing_but_what_it_adds(name: str, start: Start) -> None:
    # one after the other: trials of one process share torch's random numbers
    plain, watched = (three_rows(start(names)) for names in ([], [name]))
    for expected, found in zip(plain, watched, strict=True):
        for key, value in expected.items():
            if not key.startswith(TIMES) and key not in rows.TUNE_KEYS:
                assert found[key] == pytest.approx(value, nan_ok=True), key


@pytest.mark.parametrize("name", SHIPPED)
def test_a_callback_survives_a_checkpoint(name: str, start: Start, tmp_path: Path) -> None:
    trial = start([name])
    before = trial.train()
    trial.save_checkpoint(str(folder := tmp_path / "checkpoint"))
    other = start([name])
    other.load_checkpoint(str(folder))
    assert other._custom_metrics.get_state() == trial._custom_metrics.get_state()
    assert list(custom(other.train())) == list(custom(before))


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_key_that_no_callback_adds_is_refused_before_anything_starts(
    algorithm: str, tmp_path: Path, machine: Machine
) -> None:
    path = tmp_path / "spec.yaml"
    names = "callbacks.worker.norms:GradientNorms"
    text = SPEC.format(algorithm=algorithm, training=TRAINING[algorithm], env_runners=0, callbacks=names)
    for key, is_known in (
        ("network.torso.layers.0", True),
        ("network.value_head", True),
        ("network.torso.layers.9", False),
    ):
        path.write_text(text.replace("metric: score", f"metric: custom/gradient_norm/{key}"))
        plan = make(load(path).sweep, machine)
        if is_known:
            preflight.check(plan)
            continue
        with pytest.raises(PreflightError, match=r"no callback adds .*; did you mean"):
            preflight.check(plan)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "{name: callbacks.worker.norms:GradientNorms, evry: 3}",
            "no argument 'evry'; allowed: every; did you mean",
        ),
        ("callbacks.worker.trial_callback:TrialFacts", "neither an RLlibCallback nor a ray.tune.Callback"),
    ],
)
def test_a_callback_that_cannot_be_made_is_refused(name: str, message: str, start: Start) -> None:
    with pytest.raises(PreflightError, match=message) as caught:
        start([name])
    assert caught.value.key == "callbacks"
