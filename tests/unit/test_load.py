from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rlsweep.errors import SpecError
from rlsweep.spec import load

GOOD = """
version: 1
name: t
algorithm: ppo
env: {id: CartPole-v1}
training: {lr: 3e-4}
network: {name: mlp}
objective: {metric: score, goal: maximize}
stop: {env_steps: 1k}
"""


def issues(path: Path, **arguments: object) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(path, **arguments)  # type: ignore[arg-type]
    return [str(issue) for issue in caught.value.issues]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("lr: 3e-4", "learning_rate: 3e-4", "spec.yaml:6:12: ppo has no hyperparameter 'learning_rate'"),
        (
            "lr: 3e-4",
            "lr: fast",
            "training.lr: 'fast' is of the wrong kind; allowed: number, or a schedule: {linear",
        ),
        ("lr: 3e-4", "num_epochs: 2.5", "training.num_epochs: 2.5 is of the wrong kind"),
        ("lr: 3e-4", "lr: .nan", "training.lr: nan is no number to train with"),
        ("lr: 3e-4", "opt_type: adam", "ppo has no hyperparameter 'opt_type'"),
        ("{lr: 3e-4}", "[lr]", "training: a section with keys belongs here"),
        (
            "env: {id: CartPole-v1}",
            "env: CartPole-v1",
            "env: a section with keys belongs here; allowed: clip",
        ),
        ("id: CartPole-v1", "id: Breakout-v5", "did you mean 'ALE/Breakout-v5'?"),
        ("version: 1", "version: 1\nseeds: [-1]", "greater than or equal to 0"),
        ("version: 1", "version: 1\nresources: {cpus_per_env_runner: .inf}", "finite"),
        ("stop: {env_steps: 1k}", "stop: {env_steps: yes}", "write a whole number"),
        ("stop: {env_steps: 1k}", "stop: {env_steps: true}", "not true or false"),
        ("lr: 3e-4", "num_epoch: 4", "did you mean 'num_epochs'?"),
        ("stop: {env_steps: 1k}", "stop: {env_steps: 1k, scor: 3}", "did you mean 'score'?"),
        ("stop: {env_steps: 1k}", "stop: {env_steps: soon}", "spec.yaml:9:8: stop.env_steps: write a whole"),
        ("stop: {env_steps: 1k}", "stop: 7", "spec.yaml:9:1: stop:"),
        ("stop: {env_steps: 1k}", "", "stop is missing"),
        ("goal: maximize", "goal: maximise", "allowed: maximize, minimize; did you mean 'maximize'?"),
        (", goal: maximize", "", "objective.goal is missing"),
        ("algorithm: ppo", "algorithm: poo", "spec.yaml:4:1: algorithm: no 'poo'"),
        ("id: CartPole-v1", "id: ALE/Brekout-v5", "did you mean 'ALE/Breakout-v5'?"),
        ("id: CartPole-v1", "id: CartPol-v1", "did you mean 'CartPole-v1'?"),
        ("id: CartPole-v1", "id: BreakoutNoFrameskip-v4", "did you mean 'ALE/Breakout-v5'?"),
        ("{id: CartPole-v1}", "{id: CartPole-v1, frame_skip: 4}", "frame_skip: only an ALE game has this"),
        ("name: mlp", "name: mpl", "allowed: nature_cnn, impala_resnet, cnn, mlp; did you mean 'mlp'?"),
        (
            "name: mlp",
            "name: mlp, chanels: [1]",
            "unknown key 'chanels' in network; allowed: fcnet_activation",
        ),
        ("version: 1", "version: 1\nsede: [1]", "spec.yaml:3:1: unknown key 'sede' in the spec"),
        ("version: 1", "version: 1\nseeds: [1, 1]", "a seed stands twice"),
        ("version: 1", "version: 1\nextends: nowhere.yaml", "spec.yaml:3:1: extends 'nowhere.yaml'"),
        ("version: 1", "version: 1\nextends: spec.yaml", "a circle"),
    ],
)
def test_each_mistake_is_named_with_its_place(
    write_spec: Callable[..., Path], old: str, new: str, said: str
) -> None:
    assert old in GOOD
    text = "\n".join(issues(write_spec(GOOD.replace(old, new))))
    assert said in text


def test_all_mistakes_are_reported_at_once(write_spec: Callable[..., Path]) -> None:
    bad = GOOD.replace("lr:", "lrr:").replace("mlp", "nlp").replace("env_steps: 1k", "env_step: 1k")
    text = "\n".join(issues(write_spec(bad)))
    assert "'lrr'" in text
    assert "'nlp'" in text
    assert "'env_step'" in text
    assert "stop.env_steps is missing" in text


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("{method: grid, parameters: {training.lr: {min: 1e-5, max: 1e-3}}}", "a grid needs listed values"),
        ("{trials: 2, parameters: {training.lrr: {values: [1]}}}", "did you mean 'training.lr'?"),
        ("{trials: 2, parameters: {training.lr: {values: [1, fast]}}}", "'fast' is of the wrong kind"),
        ("{trials: 2, parameters: {trainin.lr: {values: [1]}}}", "cannot sweep 'trainin.lr'"),
        ("{trials: 2, parameters: {training.lr: {value: 1, min: 2}}}", "write exactly one of"),
        ("{trials: 2, parameters: {training.lr: {min: 2, max: 1}}}", "below max"),
        ("{trials: 2, parameters: {training.lr: {min: 0, max: 1, distribution: log_uniform}}}", "above 0"),
        ("{trials: 2, parameters: {network.name: {values: [nature]}}}", "no 'nature'"),
        ("{parameters: {training.lr: {values: [1]}}}", "needs `trials`"),
        ("{trials: 2, parameters: {training.lr: {values: [1e-3, 0.001]}}}", "stands twice"),
        (
            "{trials: 2, parameters: {training.num_epochs: {distribution: log_uniform, min: 2, max: 64}}}",
            "takes whole numbers",
        ),
        ("{trials: 2, parameters: {stop.env_steps: {values: [1]}}}", "cannot sweep 'stop.env_steps'"),
        ("{trials: 2, seed: -1, parameters: {training.lr: {values: [1]}}}", "greater than or equal to 0"),
        ("{trials: 2, space: pppo, parameters: {}}", "did you mean 'ppo'?"),
    ],
)
def test_mistakes_in_search(write_spec: Callable[..., Path], root: Path, search: str, said: str) -> None:
    assert said in "\n".join(issues(write_spec(GOOD + f"search: {search}\n"), root=root))


def test_extends_profile_and_set_are_laid_over_each_other(write_spec: Callable[..., Path]) -> None:
    write_spec(GOOD, "base/parent.yaml")
    child = write_spec(
        """
extends: base/parent.yaml
name: child
training: {gamma: 0.9}
profiles:
  smoke: {stop: {env_steps: 10}, training: {gamma: 0.8}}
""",
        "child.yaml",
    )
    sweep = load(child).sweep
    assert (sweep.name, sweep.training, sweep.stop.env_steps) == ("child", {"lr": 3e-4, "gamma": 0.9}, 1000)
    sweep = load(child, profile="smoke", overrides=["training.lr=1e-3", "seeds=2"]).sweep
    assert sweep.training == {"lr": 1e-3, "gamma": 0.8}
    assert (sweep.stop.env_steps, sweep.seeds) == (10, (0, 1))


def test_a_mistake_keeps_the_place_it_came_from(write_spec: Callable[..., Path]) -> None:
    write_spec(GOOD.replace("lr:", "lrr:"), "base/parent.yaml")
    child = write_spec("extends: base/parent.yaml\nprofiles: {s: {stop: {env_stps: 3}}}\n", "child.yaml")
    text = "\n".join(issues(child, profile="s", overrides=["env.id=Nowhere-v3"]))
    assert "parent.yaml:6:12: ppo has no hyperparameter 'lrr'" in text
    assert "child.yaml:2:23: unknown key 'env_stps'" in text
    assert "--set env.id=Nowhere-v3: env.id: no game or environment" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"profile": "smok"}, "allowed: smoke; did you mean 'smoke'?"),
        ({"overrides": ["stop"]}, "not of the form a.b=value"),
        ({"overrides": ["a..b=3"]}, "not of the form a.b=value"),
        ({"overrides": ["stop.env_steps=[1"]}, "not YAML"),
        ({"overrides": ["seeds=1\nfoo: 2"]}, "more than one value"),
    ],
)
def test_mistakes_on_the_command_line(root: Path, arguments: dict[str, object], said: str) -> None:
    assert said in issues(Path("breakout_lr.yaml"), root=root, **arguments)[0]


def test_set_reaches_into_swept_parameters(root: Path) -> None:
    overrides = [
        "search.parameters.training.lr.values=[1e-3]",
        "search.parameters.env.frame_skip={values: [2]}",
    ]
    sweep = load("breakout_lr.yaml", overrides=overrides, root=root).sweep
    ranges = {path: found.values for path, found in sweep.search.parameters.items()}
    assert ranges == {"training.lr": [1e-3], "env.frame_skip": [2]}


def test_a_missing_spec_names_those_that_are_there(root: Path) -> None:
    (text,) = issues(Path("brekout_lr.yaml"), root=root)
    assert "did you mean 'breakout_lr.yaml'?" in text
    assert "cartpole_ppo.yaml" in text


def test_a_network_of_another_kind_replaces_the_whole_section(write_spec: Callable[..., Path]) -> None:
    path = write_spec(GOOD.replace("{name: mlp}", "{name: mlp, fcnet_hiddens: [8]}"))
    sweep = load(path, overrides=["network={name: impala_resnet}"]).sweep
    assert sweep.network.name == "impala_resnet"


def test_validate_imports_neither_ray_nor_torch(root: Path) -> None:
    code = (
        "import sys; from rlsweep.spec import load; load('breakout_lr.yaml', profile='smoke');"
        "print([m for m in ('ray', 'torch', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


HUGE = "9" * 400


@pytest.mark.parametrize(
    "text",
    [
        f"training: {{gamma: {HUGE}}}",
        f"training: {{lr: {{linear: [{HUGE}, 0]}}}}",
        f"search: {{trials: 2, parameters: {{training.lr: {{min: 0, max: {HUGE}}}}}}}",
        f"search: {{trials: 2, parameters: {{training.lr: {{values: [{HUGE}]}}}}}}",
        f"search: {{trials: 2, parameters: {{training.lr: {{min: 0, max: 1}}}}, points: [{{a: {HUGE}}}]}}",
        f"budget: {{disk: {HUGE}GB}}",
        f"budget: {{wall_time: {HUGE}h}}",
        "search: {method: grid, parameters: {training.lr: {min: 0.0, max: 1e30, step: 1e-300}}}",
        "search: {trials: 2, parameters: {training.lr: {mu: 800, sigma: 1, distribution: log_normal}}}",
        "search: {trials: 2, parameters: {training.lr: {mu: 0, sigma: 1, min: 100}}}",
        "search: {trials: 2, parameters: {training.gamma: {mu: 0.9, sigma: 1}}}",
        "search: {trials: 3000, parameters: {training.lr: {min: 0, max: 1}}}\nseeds: 1000",
        "search: {method: grid, parameters: {training.vf_clip_param: {min: 1, max: 900},"
        " training.num_epochs: {min: 1, max: 20}}}\nseeds: 10",
        "search: {method: grid, parameters: {network.fcnet_hiddens: {values: [[2]], zip: training.lrr}}}",
        "search: {trials: 2, parameters: {env.kwargs.a: {values: [.nan, 1]}}}",
        "search: {trials: 2, parameters: {env.kwargs.a: {mu: 1e38, sigma: 1, step: 1e-300}}}",
        "search: {trials: 2, parameters: {training.lr: {mu: -7, sigma: 1, distribution: log_normal}},"
        " points: [{training.lr: 0}]}",
        "search: {trials: 2, parameters: {training.lr: {mu: 1, sigma: 1, max: -1,"
        " distribution: log_normal}}}",
        "search: {trials: 2, parameters: {resources.env_runners: {min: 0.0, max: 3.0}}}",
        "search: {trials: 2, parameters: {training.lr: {values: [1, 2], when: {training.gamma: []}}}}",
        "resources: {cpus_per_env_runner: 1e38, env_runners: 100}",
        "resources: {gpus_per_learner: 1e38}",
        "seeds: [1000000]",
        "name: artifacts",
        "search: {trials: 2, parameters: {training.lr.linear: {values: [1]}}}",
        "search: {trials: 2, parameters: {training.lr.: {values: [1]}}}",
        "search: {trials: 2, parameters: {resources.max_concurrent: {values: [1, 2]}}}",
        "search: {method: cmaes, trials: 2, parameters: {training.lr: {min: 0, max: 1}}}",
        "search: {trials: 1, parameters: {training.lr: {min: 0, max: 1}}, points: [{}, {}]}",
        "scheduler: {type: pbt, every: 100, factors: [-5]}",
        "scheduler: {type: asha, grace: 100, reduction_factor: 1.000001}",
        "search: {trials: 2, parameters: {training.lr: {values: [1, 2], when: {training.gamma: 0.123}}}}",
    ],
)
def test_what_cannot_be_is_a_spec_error(write_spec: Callable[..., Path], text: str) -> None:
    lines = GOOD.replace("name: t\n", "") if text.startswith("name:") else GOOD
    found = issues(write_spec(lines + text + "\n"))
    assert found
    assert all("spec.yaml:" in line for line in found)
