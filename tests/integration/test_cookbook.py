"""Every example of the cookbook's page on callbacks, as it stands there, in a trial on CartPole."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlsweep.plan import Machine, make
from rlsweep.run.trial import trainable_for
from rlsweep.spec import load

PAGE = Path(__file__).parents[2] / "docs" / "cookbook" / "callbacks.md"
EXAMPLES = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL))

SPEC = """
version: 1
name: cookbook
algorithm: ppo
env: {{id: CartPole-v1}}
network: {{name: mlp}}
training: {{lr: 1e-3, train_batch_size_per_learner: 512, minibatch_size: 128, num_epochs: 2}}
objective: {{metric: score, goal: maximize}}
resources: {{envs_per_env_runner: 4}}
stop: {{env_steps: 1M}}
callbacks: ["{module}:{name}"]
"""


def test_the_page_has_so_many() -> None:
    assert list(EXAMPLES) == [
        "pole_angle",
        "stepwise_pole_angle",
        "ended_episodes",
        "falling_costs",
        "batch_rewards",
        "iterations_seen",
    ]


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of a module with an example's code."""
    name = f"{request.param}_of_the_cookbook"
    (tmp_path / f"{name}.py").write_text(EXAMPLES[request.param])
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_an_example_gives_its_keys(example: str, machine: Machine, tmp_path: Path) -> None:
    source = EXAMPLES[example.removesuffix("_of_the_cookbook")]
    [(name, doc)] = re.findall(r"class (\w+)\(TrialCallback\):\n    \"\"\"(.*?)\"\"\"", source)
    documented = re.findall(r"`(\w+)`", doc)
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.format(module=example, name=name))
    plan = make(load(path).sweep, machine)
    trial = trainable_for(plan)(plan.trials[0].tune_config)
    try:
        found = [
            {key: value for key, value in trial.train().items() if key.startswith("custom/")}
            for _ in range(3)
        ]
    finally:
        trial.cleanup()
    assert [list(row) for row in found] == [[f"custom/{key}" for key in documented]] * 3
    assert all(math.isfinite(value) for value in found[-1].values()), found
    if name.endswith("PoleAngle"):
        assert 0 < found[-1][f"custom/{documented[0]}"] < math.radians(24), "the pole falls at 12 degrees"
    if name == "IterationsSeen":
        assert [row["custom/iterations_seen"] for row in found] == [1, 2, 3]
    if name == "FallingCosts":
        assert found[-1]["custom/falls"] > 0
