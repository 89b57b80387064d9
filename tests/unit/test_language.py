"""What a spec can say: quantities, sections swept whole, spaces merged, chains of specs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rlsweep.errors import SpecError
from rlsweep.plan import Machine, make
from rlsweep.plan.estimate import expected_work
from rlsweep.spec import Sweep, load, load_all_profiles, with_values
from rlsweep.spec.values import value_at

ROOT = Path(__file__).parents[2]
PONG = """
version: 1
name: t
algorithm: ppo
env: {id: ALE/Pong-v5, frame_skip: 4}
training: {lr: 3e-4}
network: {name: cnn, conv_filters: [[16, 8, 4]]}
objective: {goal: maximize}
stop: {env_steps: 40M frames}
"""


def sweep(text: str, write_spec: Callable[..., Path], *overrides: str) -> Sweep:
    return load(write_spec(text), overrides=list(overrides), root=ROOT).sweep


def test_frames_are_env_steps_times_the_frame_skip(write_spec: Callable[..., Path]) -> None:
    found = sweep(PONG, write_spec, "evaluation.every=2M frames", "checkpoints.every=1M env steps")
    assert found.stop.env_steps == 10_000_000
    assert (found.evaluation and found.evaluation.every, found.checkpoints.every) == (500_000, 1_000_000)
    assert sweep(PONG, write_spec, "env.frame_skip=5").stop.env_steps == 8_000_000
    assert sweep(PONG, write_spec, "stop={frames: 1M}").stop.env_steps == 250_000
    assert sweep(PONG, write_spec, "stop={frames: 1M, env_steps: 100k}").stop.env_steps == 100_000
    assert sweep(PONG, write_spec, "stop={frames: 1M, env_steps: 1M}").stop.env_steps == 250_000
    assert sweep(PONG, write_spec, "env.protocol=machado", "env.frame_skip=null").stop.env_steps == 8_000_000


def test_a_swept_frame_skip_keeps_the_frames(write_spec: Callable[..., Path]) -> None:
    found = sweep(PONG, write_spec, "search={method: grid, parameters: {env.frame_skip: {values: [2, 4]}}}")
    plan = make(found, Machine.of(4, 0))
    assert [trial.sweep.stop.env_steps for trial in plan.trials] == [20_000_000, 10_000_000]
    work = expected_work(plan)
    assert (work.env_steps, work.frames) == (30_000_000, 80_000_000)


def test_a_network_of_another_kind_starts_from_its_own_defaults(write_spec: Callable[..., Path]) -> None:
    names = "search={method: grid, parameters: {network.name: {values: [cnn, nature_cnn]}}}"
    kinds = [trial.sweep.network for trial in make(sweep(PONG, write_spec, names), Machine.of(4, 0)).trials]
    assert [kind.name for kind in kinds] == ["cnn", "nature_cnn"]
    whole = "[{name: nature_cnn}, {name: impala_resnet, channels: [8, 8]}]"
    sections = f"search={{method: grid, parameters: {{network: {{values: {whole}}}}}}}"
    plan = make(sweep(PONG, write_spec, sections), Machine.of(4, 0))
    assert [trial.sweep.network.name for trial in plan.trials] == ["nature_cnn", "impala_resnet"]
    assert plan.trials[1].config_id == "network=name(impala_resnet)+channels(8,8)"


def test_swept_sections_are_not_written_into(write_spec: Callable[..., Path]) -> None:
    axes = "{network: {values: [{name: mlp}]}, network.fcnet_hiddens: {values: [[8], [16]]}}"
    with pytest.raises(SpecError, match="are both swept, and the one holds the other"):
        sweep(PONG, write_spec, f"search={{method: grid, parameters: {axes}}}")
    choice = {"name": "mlp"}
    found = with_values(sweep(PONG, write_spec), {"network": choice, "network.fcnet_hiddens": [8]})
    assert (found.network.name, choice) == ("mlp", {"name": "mlp"})


def test_a_key_of_one_kind_of_network_may_depend_on_the_kind(write_spec: Callable[..., Path]) -> None:
    parameters = (
        "{network.name: {values: [nature_cnn, impala_resnet]},"
        " network.channels: {values: [[16], [32]], when: {network.name: impala_resnet}}}"
    )
    for base in ("cnn, conv_filters: [[16, 8, 4]]", "nature_cnn", "impala_resnet"):
        text = PONG.replace("cnn, conv_filters: [[16, 8, 4]]", base)
        plan = make(
            sweep(text, write_spec, f"search={{method: grid, parameters: {parameters}}}"), Machine.of(4, 0)
        )
        kinds = [(trial.sweep.network.name, trial.values.get("network.channels")) for trial in plan.trials]
        assert kinds == [("nature_cnn", None), ("impala_resnet", [16]), ("impala_resnet", [32])]
    without = parameters.replace(", when: {network.name: impala_resnet}", "")
    with pytest.raises(SpecError, match="unknown key 'channels' in network"):
        sweep(PONG, write_spec, f"search={{method: grid, parameters: {without}}}")


def test_one_field_of_a_range_can_be_set(write_spec: Callable[..., Path]) -> None:
    ranges = (
        "search={trials: 2, parameters: {training.lr: {min: 1e-5, max: 1e-2, distribution: log_uniform}}}"
    )
    found = sweep(PONG, write_spec, ranges, "search.parameters.training.lr.max=1e-3").search.parameters
    assert (found["training.lr"].min, found["training.lr"].max) == (1e-5, 1e-3)
    listed = sweep(PONG, write_spec, ranges, "search.parameters.training.lr.values=[1e-3]").search.parameters
    assert listed["training.lr"].values == [1e-3]


def test_one_field_of_a_range_from_a_search_space_can_be_set(write_spec: Callable[..., Path]) -> None:
    space = "search={trials: 2, space: ppo}"
    found = sweep(PONG, write_spec, space, "search.parameters.training.lr.max=0.1").search.parameters
    assert (found["training.lr"].min, found["training.lr"].max) == (1e-5, 0.1)


def test_a_search_that_learns_refuses_combinations_that_cannot_be(write_spec: Callable[..., Path]) -> None:
    parameters = "{env.grayscale: {values: [true, false]}, env.frame_stack_by: {values: [env, connector]}}"
    found = sweep(PONG, write_spec, f"search={{method: tpe, trials: 4, parameters: {parameters}}}")
    with pytest.raises(SpecError, match="connector stacks grayscale frames only"):
        make(found, Machine.of(4, 0))


@pytest.mark.parametrize(
    ("quantity", "env_steps"), [("16.1k", 16_100), ("2.01k", 2010), ("4.03k", 4030), ("1.5M", 1_500_000)]
)
def test_short_decimals_are_exact(quantity: str, env_steps: int, write_spec: Callable[..., Path]) -> None:
    assert sweep(PONG, write_spec, f"stop.env_steps={quantity}").stop.env_steps == env_steps


def test_the_game_can_be_swept(write_spec: Callable[..., Path]) -> None:
    games = "search={method: grid, parameters: {env.id: {values: [ALE/Pong-v5, ALE/Qbert-v5]}}}"
    plan = make(sweep(PONG, write_spec, games), Machine.of(4, 0))
    assert [trial.sweep.env.id for trial in plan.trials] == ["ALE/Pong-v5", "ALE/Qbert-v5"]
    assert all("/" not in trial.id for trial in plan.trials)
    with pytest.raises(SpecError, match="'ALE/Qbert-v5'"):
        sweep(PONG, write_spec, games.replace("Qbert", "Qbrt"))


def test_a_schedule_can_be_swept_and_keeps_its_form(write_spec: Callable[..., Path]) -> None:
    rates = "search={method: grid, parameters: {training.lr: {values: [1e-4, {linear: [1e-3, 0]}]}}}"
    plan = make(sweep(PONG, write_spec, rates), Machine.of(4, 0))
    assert [trial.sweep.training["lr"] for trial in plan.trials] == [1e-4, {"linear": [1e-3, 0]}]
    assert plan.trials[1].config_id == "lr=linear(0.001,0)"


def test_search_spaces_are_merged_in_order(tmp_path: Path, write_spec: Callable[..., Path]) -> None:
    spaces = tmp_path / "search_spaces"
    spaces.mkdir()
    (spaces / "one.yaml").write_text(
        "description: d\nsource: s\nparameters:\n"
        "  training.lr: {values: [1, 2]}\n  training.gamma: {values: [0.9]}\n"
    )
    (spaces / "two.yaml").write_text("parameters: {training.lr: {min: 0.1, max: 0.2}}\n")
    text = (
        PONG + "search: {trials: 2, space: [one, two], parameters: {training.gamma: {values: [0.5, 0.6]}}}\n"
    )
    loaded = load(write_spec(text), root=tmp_path)
    ranges = loaded.sweep.search.parameters
    assert (ranges["training.lr"].min, ranges["training.lr"].values) == (0.1, None)
    assert ranges["training.gamma"].values == [0.5, 0.6]
    assert [path.name for path in loaded.files] == ["spec.yaml", "one.yaml", "two.yaml"]
    (spaces / "two.yaml").write_text("parameters: {training.lrr: {min: 0.1, max: 0.2}}\nsorce: x\n")
    with pytest.raises(SpecError) as caught:
        load(write_spec(text), root=tmp_path)
    first, second = map(str, caught.value.issues)
    assert "two.yaml:1:14: ppo has no hyperparameter 'lrr'" in first
    assert "two.yaml:2:1: unknown key 'sorce' in a search space" in second


def test_a_chain_of_specs_reaches_into_sweeps(write_spec: Callable[..., Path]) -> None:
    write_spec("extends: base/atari_ppo.yaml\nname: middle\ntraining: {gamma: 0.5}\n", "middle.yaml")
    child = write_spec("extends: middle.yaml\nname: child\nstop: {env_steps: 1M}\n", "child.yaml")
    loaded = load(child, root=ROOT)
    assert (loaded.sweep.training["gamma"], loaded.sweep.training["num_epochs"]) == (0.5, 4)
    assert [path.name for path in loaded.files] == ["child.yaml", "middle.yaml", "atari_ppo.yaml"]


def test_all_profiles_are_checked_at_once(write_spec: Callable[..., Path]) -> None:
    text = PONG + "sede: 3\nprofiles: {a: {stop: {env_stps: 1}}, b: {training: {lrr: 1}}}\n"
    with pytest.raises(SpecError) as caught:
        load_all_profiles(write_spec(text), root=ROOT)
    messages = [issue.message for issue in caught.value.issues]
    assert len(messages) == 3, "the mistake that all share is told once"
    assert messages[0].startswith("unknown key 'sede'")


def test_values_of_a_spec_by_path(write_spec: Callable[..., Path]) -> None:
    found = sweep(PONG, write_spec)
    assert value_at(found, "training.lr") == 3e-4
    assert value_at(found, "training.gamma") == 0.99, "RLlib's default"
    assert value_at(found, "network.conv_filters") == [[16, 8, 4]]
    assert value_at(with_values(found, {"env.sticky_actions": 0.25}), "env.sticky_actions") == 0.25
    with pytest.raises(KeyError):
        value_at(found, "training.lrr")


def test_another_measure_is_another_objective(write_spec: Callable[..., Path]) -> None:
    found = sweep(PONG, write_spec, "objective={metric: score, goal: maximize}", "objective.over_seeds=iqm")
    assert [(one.key, one.over_seeds) for one in found.objective] == [("score", "iqm")]
    text = "extends: base/atari_ppo.yaml\nname: child\nobjective: {env_steps_to: 18, goal: minimize}\n"
    assert [one.key for one in sweep(text, write_spec).objective] == ["env_steps_to/18"]


def test_objectives_are_one_or_several(write_spec: Callable[..., Path]) -> None:
    one = sweep(PONG, write_spec)
    assert [objective.key for objective in one.objective] == ["score"]
    several = sweep(
        PONG,
        write_spec,
        "objective=[{metric: human_normalized, goal: maximize, over_seeds: iqm},"
        " {env_steps_to: 18, goal: minimize}, {metric: eval_score, goal: maximize}]",
        "evaluation={every: 1M}",
    )
    keys = ["human_normalized", "env_steps_to/18", "evaluation/score"]
    assert [objective.key for objective in several.objective] == keys
