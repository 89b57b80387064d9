"""The old `rllib train -f` form -> our specs; the samples in tests/data/legacy/ are of RLlib 0.7 to 2.x."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlsweep.errors import SpecError
from rlsweep.legacy import ConvertedSpec, convert, convert_file
from rlsweep.legacy.convert import head_comment
from rlsweep.spec import LoadedSpec, load
from rlsweep.spec.source import parse_file, parse_text

ROOT = Path(__file__).parents[2]
LEGACY = sorted((ROOT / "tests" / "data" / "legacy").glob("*.yaml"))

WriteSpec = Callable[..., Path]


def old_file(name: str) -> Path:
    return next(path for path in LEGACY if path.stem == name)


def old_text(config: str = "{}", run: str = "PPO", env: str = "PongNoFrameskip-v4", more: str = "") -> str:
    return f"experiment:\n  run: {run}\n  env: {env}\n  config: {config}\n{more}"


def new_text(text: str) -> str:
    (spec,) = convert(parse_text(text, "old.yaml"))
    return spec.text


def issues(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        convert(parse_text(text, "old.yaml"))
    return [str(issue) for issue in caught.value.issues]


def reload(spec: ConvertedSpec, write_spec: WriteSpec) -> LoadedSpec:
    return load(write_spec(spec.text, f"{spec.name}.yaml"))


def keys_in(value: Any) -> Iterator[str]:
    """Every key below `config` and its sections, and beside it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("config", "stop", "model", "pass_criteria") or (key.endswith("_config") and inner):
                yield from keys_in(inner)
            elif not key.endswith("_config"):
                yield key


def test_the_samples_are_there() -> None:
    assert len(LEGACY) == 9


@pytest.mark.parametrize("path", LEGACY, ids=lambda path: path.stem)
def test_every_old_file_becomes_specs_that_load(path: Path, write_spec: WriteSpec) -> None:
    specs = convert_file(path)
    assert len(specs) == len(parse_file(path).data)
    for spec in specs:
        assert reload(spec, write_spec).sweep.name == spec.name


@pytest.mark.parametrize("path", LEGACY, ids=lambda path: path.stem)
def test_no_old_key_is_lost_in_silence(path: Path) -> None:
    for spec, experiment in zip(convert_file(path), parse_file(path).data.values(), strict=True):
        assert [key for key in keys_in(experiment) if key not in spec.text] == []


def test_basic_dqn(write_spec: WriteSpec) -> None:
    (spec,) = convert_file(old_file("basic-dqn"))
    lines = spec.text.splitlines()
    for line in (
        "algorithm: dqn  # was run: DQN",
        "  id: ALE/Breakout-v5  # the first of the grid",
        "    type: EpisodeReplayBuffer  # was prioritized_replay: false",
        "    capacity: 1000000  # was buffer_size; 7.06 GB of frames",
        "  epsilon: {piecewise: [[0, 1.0], [200k, 0.01]]}",
        "  num_steps_sampled_before_learning_starts: 20000  # was learning_starts",
        "  lr: 6.25e-05",
        "  gpus_per_learner: 0.2  # was num_gpus",
        "  env_steps: 10M  # the old spec has no limit of env steps",
        "# adam_epsilon: 0.00015 -- the optimizer is Adam, with a learning rate alone",
        "  noisy: false",
    ):
        assert line in lines
    sweep = reload(spec, write_spec).sweep
    assert sweep.training["training_intensity"] == 32 / 4
    assert sweep.training["lr"] == 0.0000625
    assert sweep.env.atari.noop_max == 30
    assert sweep.search.parameters["env.id"].choices == [
        f"ALE/{game}-v5" for game in ("Breakout", "BeamRider", "Qbert", "SpaceInvaders")
    ]


def test_pong_impala_fast(write_spec: WriteSpec) -> None:
    (spec,) = convert_file(old_file("pong-impala-fast"))
    lines = spec.text.splitlines()
    assert lines[0] == "# This can reach 18-19 reward in ~3 minutes on p3.16xl head w/m4.16xl workers"
    assert lines[5] == "# Converted by `rlsweep convert` from pong-impala-fast.yaml: pong-impala-fast."
    for line in (
        "  id: ALE/Pong-v5  # was env: PongNoFrameskip-v4",
        "  resolution: 42  # was model.dim",
        "  train_batch_size_per_learner: 500  # was train_batch_size: 1000; of 2 learners together",
        "  broadcast_interval: 5",
        "  learners: 2  # was num_gpus",
        "  env_runners: 128  # was num_workers",
        "  envs_per_env_runner: 5  # was num_envs_per_worker",
        "# num_data_loader_buffers: 4 -- the new API stack has no loader threads",
        "# sample_batch_size: 50 -- RLlib cuts fragments itself",
    ):
        assert line in lines
    sweep = reload(spec, write_spec).sweep
    assert (sweep.resources.gpus, sweep.resources.gpus_per_learner) == ("auto", 1)
    assert sweep.network.name == "nature_cnn"


@pytest.mark.parametrize(
    ("sample", "lines"),
    [
        (
            "pong-rainbow-1.x",
            [
                "name: rainbow-on-pong  # was rainbow on pong",
                "    type: PrioritizedEpisodeReplayBuffer  # was prioritized_replay: true",
                "    alpha: 0.5  # was prioritized_replay_alpha",
                "  training_intensity: 4.0",
                "  epsilon: {piecewise: [[0, 1.0], [2, 0.0]]}",
                "  every: 50k  # was checkpoint_freq: 50; iterations of 1k env steps",
                "  keep: 3  # was keep_checkpoints_num",
            ],
        ),
        (
            "breakout-dqn-2.x",
            [
                "  frame_skip: 4  # was env_config.frameskip: 1; where old RLlib's wrapper skipped 4",
                "  sticky_actions: 0.0  # was env_config.repeat_action_probability",
                "    training.lr: {values: [6.25e-05, 0.00025]}",
                "    training.epsilon: {values: [{piecewise: [[0, 1.0], [200k, 0.1]]}, "
                "{piecewise: [[0, 1.0], [200k, 0.01]]}]}",
                "  time: 90min  # was stop.time_total_s: 5400",
                "# grad_clip: null -- the default stays",
            ],
        ),
        (
            "games-ppo",
            [
                "# Four games, ten workers.",
                "#   rllib train -f games-ppo.yaml",
                "  minibatch_size: 500  # was sgd_minibatch_size",
                "  lambda_: 0.95  # was lambda",
                "seeds: 2  # was num_samples",
                "  every: 100k  # was evaluation_interval: 20; iterations of 5k env steps",
                "  games: 4  # was evaluation_num_episodes",
                "  greedy: true  # was evaluation_config.explore: false",
            ],
        ),
        (
            "pong-impala-schedules",
            [
                "  sticky_actions: 0.25  # the old id's own",
                "  lr: {piecewise: [[0, 0.0005], [20M, 1.0e-12]]}  "
                "# was lr_schedule: [[0, 0.0005], [20000000, 1.0e-12]]",
                "  entropy_coeff: {piecewise: [[0, 0.01], [1.5M, 0.001]]}",
                "seeds: [512, 42]  # was seed",
                "# lr: 0.0005 -- training.lr says it already",
                "# lambda: 0.9 -- impala has no lambda_",
            ],
        ),
        (
            "pong-appo-learners",
            [
                "  train_batch_size_per_learner: 1000  # was train_batch_size: 4000; of 4 learners together",
                "  name: cnn",
                "  head_fcnet_hiddens: [256, 128]  # was last of model.conv_filters: [256], "
                "model.post_fcnet_hiddens: [128]",
                "  conv_activation: silu  # was model.conv_activation: swish",
                "  cpus_for_main_process: 1  # was num_cpus_for_local_worker",
            ],
        ),
        (
            "cartpoles",
            [
                "  id: CartPole-v1  # was env: CartPole-v0",
                "  train_batch_size_per_learner: 2000  # old RLlib's default; of 2 learners together",
                "  fcnet_activation: tanh  # was model.fcnet_activation: linear",
                "    network.fcnet_hiddens: {values: [[32], [64, 64]]}  # was model.fcnet_hiddens",
                "  iterations: 400  # was stop.training_iteration",
                "  fcnet_hiddens: [256, 256, 128]  # was hiddens: [128]",
                "# clip_rewards: true -- only an ALE game has this",
                "# unknown old key, dropped: my_own_key: 3",
                "# unknown old key, dropped: another: 'yes # and no'",
            ],
        ),
        (
            "frozenlake-appo",
            [
                "    desc: [SFFF, FHFH, FFFH, HFFG]  # was env_config.desc",
                "    env.kwargs.is_slippery: {values: [true, false]}  # was env_config.is_slippery",
                "    resources.env_runners: {values: [2, 4]}  # was num_workers",
                "  score: 0.99  # was stop.env_runners/episode_return_mean",
                "# stop.episodes_total: 5000 -- no row has this key",
            ],
        ),
    ],
)
def test_what_becomes_of_old_keys(sample: str, lines: list[str]) -> None:
    written = [line for spec in convert_file(old_file(sample)) for line in spec.text.splitlines()]
    assert [line for line in lines if line not in written] == []


@pytest.mark.parametrize(
    ("old", "line"),
    [
        (old_text(env="ALE/Pong-v5"), "  sticky_actions: 0.25  # the old id's own"),
        (old_text(env="ALE/Pong-v5", config="{env_config: {frameskip: 3}}"), "  frame_skip: 3"),
        (
            old_text(env="Pong-v4"),
            "  id: ALE/Pong-v5  # was env: Pong-v4; which skipped 2 to 4 frames at random",
        ),
        (old_text(env="Pendulum-v0"), "  id: Pendulum-v1  # was env: Pendulum-v0"),
        (old_text(env="MountainCar-v0"), "  fcnet_hiddens: [256, 256]  # old RLlib's default"),
        (old_text("{clip_rewards: false}"), "  clip_rewards: false"),
        (old_text("{model: {framestack: false}}"), "  frame_stack: 1  # was model.framestack: false"),
        (old_text("{num_gpus: 0}"), "  gpus_per_learner: 0  # was num_gpus"),
        (old_text("{num_env_runners: 3}"), "  env_runners: 3  # was num_env_runners"),
        (old_text("{lr_schedule: [[0, 0.1]]}"), "  lr: 0.1  # was lr_schedule: [[0, 0.1]]"),
        (
            old_text("{entropy_coeff: [[0, 0.1], [500, 0]]}"),
            "  entropy_coeff: {piecewise: [[0, 0.1], [500, 0]]}",
        ),
        (old_text("{buffer_size: 5}"), "# buffer_size: 5 -- ppo has no replay_buffer_config"),
        (old_text("{model: {fcnet_hiddens: [5]}}"), "# model.fcnet_hiddens: [5] -- no network here has this"),
        (old_text("{}", "impala", more="  checkpoint_freq: 5"), "  every: 500k"),
        (
            old_text("{}", "impala", more="  checkpoint_freq: 0"),
            "# checkpoint_freq: 0 -- one at the end is always kept",
        ),
        (old_text("{}", more="  max_failures: 2"), "  max_retries: 2  # was max_failures"),
        (old_text("{}", "DQN"), "  epsilon: {piecewise: [[0, 1.0], [10k, 0.02]]}  # old RLlib's default"),
        (old_text("{epsilon: [[0, 1], [99, 0.1]]}", "DQN"), "  epsilon: {piecewise: [[0, 1], [99, 0.1]]}"),
        (old_text("{rollout_fragment_length: 8, num_workers: 2}", "DQN"), "  training_intensity: 2.0"),
        (old_text("{training_intensity: 5}", "DQN"), "  training_intensity: 5"),
    ],
)
def test_one_key_at_a_time(old: str, line: str) -> None:
    assert any(written.startswith(line) for written in new_text(old).splitlines()), new_text(old)


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (old_text(run="APEX"), "old.yaml:2:3: run: no 'APEX'; allowed: PPO, APPO, IMPALA, DQN"),
        (
            old_text(run="contrib/BayesOptSearch"),
            "run: no 'contrib/BayesOptSearch'; allowed: PPO, APPO, IMPALA, DQN",
        ),
        (old_text(run="IMPLA"), "did you mean 'IMPALA'?"),
        (old_text(run="{grid_search: [PPO, DQN]}"), "old.yaml:2:3: run: no {'grid_search': ['PPO', 'DQN']}"),
        ("experiment: {env: CartPole-v1}", "experiment: run is missing"),
        ("experiment: {run: PPO}", "experiment: env is missing"),
        (old_text(env="[Pong-v4]"), "env: an id belongs here"),
        (old_text(env="PongNoFrameskp-v4"), "no game or environment 'PongNoFrameskp-v4'"),
        (old_text(env="Pong-ram-v4"), "old.yaml:3:3: env.id: no game or environment"),
        (old_text(env="my.module.Env"), "no game or environment 'my.module.Env'"),
        (old_text(env="{grid_search: [Pong-v4, CartPole-v1]}"), "these ids differ in more than the game"),
        (old_text(env="{grid_search: [Pong-v4, Pong-v0]}"), "these ids differ in more than the game"),
        (
            old_text("{model: {use_lstm: true}}"),
            "old.yaml:4:20: model.use_lstm: a policy with memory cannot be",
        ),
        (old_text("{model: {custom_model: mine}}"), "model.custom_model: a policy with code of its own"),
        (old_text("{model: {grid_search: [{dim: 42}]}}"), "model: a section with keys belongs here"),
        (old_text("7"), "old.yaml:4:3: config: a section with keys belongs here"),
        ("experiment: 7", "old.yaml:1:1: experiment: a section with keys belongs here"),
        ("{}", "no experiment"),
        ("version: 1\nname: x", "old.yaml:1:1: this is no old file but a spec already"),
        (old_text("{lr: {grid_search: 3}}"), "lr: grid_search takes a list of values"),
        (old_text("{lr: [{grid_search: [1]}]}"), "lr: grid_search inside of a value"),
        (old_text("{lr: fast}"), "old.yaml:4:12: training.lr: 'fast' is of the wrong kind"),
        (old_text("{lr: -1}"), "training.lr: -1 is out of range"),
        (old_text("{lr_schedule: [1, 2]}"), "lr_schedule: a schedule is a list of [env steps, value]"),
        (old_text("{lr_schedule: [[5, 1], [7, 2]]}"), "old.yaml:4:12: training.lr: the first point is at 0"),
        (old_text("{num_workers: many}"), "old.yaml:4:12: resources.env_runners"),
        (old_text("{num_gpus: 1.5}"), "num_gpus: more than one GPU is one learner each"),
        (old_text("{num_gpus: .inf}"), "num_gpus: a number belongs here, not inf"),
        (
            old_text("{train_batch_size: 5.5}"),
            "train_batch_size: a number of env steps belongs here, not 5.5",
        ),
        (
            old_text("{model: {conv_filters: [[16, [8, 4], 4]]}}"),
            "a filter is [out channels, kernel, stride]",
        ),
        (old_text("{model: {dim: {grid_search: [42, -1]}}}"), "old.yaml:4:20: env.resolution = -1"),
        (old_text("{env: Pong-v4}"), "env: stands here twice"),
        (old_text(more="  stop: {time_total_s: soon}"), "old.yaml:5:10: stop.time: write a duration"),
        (old_text(more="  num_samples: {grid_search: [1, 2]}"), "cannot sweep 'seeds'"),
    ],
)
def test_what_cannot_be_converted_is_said_with_its_place(old: str, said: str) -> None:
    assert said in "\n".join(issues(old))


def test_all_mistakes_of_all_experiments_are_reported_at_once() -> None:
    found = issues(
        "a: {run: SAC, env: 3}\nb:\n  run: PPO\n  env: Pong-v4\n  config: {lr: x, num_gpus: y, gamma: 7}\n"
    )
    assert [issue.split(": ")[1] for issue in found] == [
        "run",
        "env",
        "training.lr",
        "num_gpus",
        "training.gamma",
    ]


def test_names_are_safe_and_distinct() -> None:
    body = "{run: PPO, env: CartPole-v1}"
    specs = convert(
        parse_text(f"pong fast: {body}\npong-fast: {body}\n../é: {body}\n{'x' * 200}: {body}\n", "o")
    )
    assert [spec.name for spec in specs] == ["pong-fast", "pong-fast-2", "converted", "x" * 90]


def test_the_head_comment_ends_where_the_file_begins() -> None:
    assert head_comment("\n# one\n#\n#  two\n\n# body\na: 1  # no\n") == "# one\n#\n#  two"
    assert head_comment("a: 1\n# body") == ""


def test_text_stays_text(write_spec: WriteSpec) -> None:
    values = [
        "1e-4",
        "08",
        "yes",
        "12:30",
        "~",
        "a # b",
        "two\nlines",
        "é",
        " x ",
        "-",
        "",
        "{a: b}",
        "1_000",
    ]
    items = ", ".join(f'"{value}"' for value in values).replace("\n", "\\n")
    (spec,) = convert(
        parse_text(old_text(f'{{env_config: {{"a: #\\n": [{items}]}}}}', env="CartPole-v1"), "o")
    )
    assert reload(spec, write_spec).sweep.env.kwargs == {"a: #\n": values}


JUNK = (
    *(
        "null",
        "[]",
        "{}",
        "0",
        "-1",
        "1.5",
        "true",
        "x",
        "'1e-4'",
        ".inf",
        "1e30",
        "[[]]",
        "[[0, 1], [5, 2]]",
    ),
    *("{grid_search: []}", "{grid_search: [1, null, [x]]}", "{a: {b: 1}}"),
)


@pytest.mark.parametrize("path", LEGACY, ids=lambda path: path.stem)
def test_junk_gives_issues_and_no_traceback(path: Path, write_spec: WriteSpec) -> None:
    lines = path.read_text("utf-8").splitlines()
    draw = random.Random(path.stem)
    for _ in range(40):
        index = draw.choice([index for index, line in enumerate(lines) if ": " in line])
        key = lines[index].partition(": ")[0]
        text = "\n".join([*lines[:index], f"{key}: {draw.choice(JUNK)}", *lines[index + 1 :]])
        for spec in converted_or_refused(text):
            assert reload(spec, write_spec).sweep.name == spec.name


def converted_or_refused(text: str) -> list[ConvertedSpec]:
    try:
        return convert(parse_text(text, "old.yaml"))
    except SpecError:
        return []


def rlsweep_convert(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    main = "from rlsweep.cli import main; main()"
    command = [sys.executable, "-c", main, "convert", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_the_command_prints_a_spec(write_spec: WriteSpec) -> None:
    done = rlsweep_convert(old_file("basic-dqn"))
    assert (done.returncode, done.stderr) == (0, "")
    assert load(write_spec(done.stdout)).sweep.name == "basic-dqn"


def test_the_command_prints_several_specs_as_documents(write_spec: WriteSpec) -> None:
    path = old_file("cartpoles")
    done = rlsweep_convert(path)
    specs = convert_file(path)
    assert len(specs) > 1
    assert done.returncode == 0
    assert done.stderr == f"{len(specs)} specs; --output DIR writes each to a file of its own\n"
    before, *texts = done.stdout.split("---\n")
    assert before == ""
    assert [load(write_spec(text)).sweep.name for text in texts] == [spec.name for spec in specs]


def test_the_command_writes_each_spec_to_a_file_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "specs"
    done = rlsweep_convert(old_file("cartpoles"), "--output", folder)
    names = [spec.name for spec in convert_file(old_file("cartpoles"))]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(folder / f"{name}.yaml") for name in names]
    assert [load(path).sweep.name for path in done.stdout.splitlines()] == names


def test_the_command_overwrites_nothing(tmp_path: Path) -> None:
    taken = tmp_path / f"{convert_file(old_file('cartpoles'))[-1].name}.yaml"
    taken.write_text("mine", "utf-8")
    done = rlsweep_convert(old_file("cartpoles"), "--output", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"already there, not overwritten: {taken}" in done.stderr
    assert list(tmp_path.iterdir()) == [taken]
    assert taken.read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("version: 1\nname: x", "this is no old file but a spec already"),
        ("experiment: 7", "a section with keys belongs here"),
        ("- a\n- b", "a spec is a mapping of keys"),
        ("a: [", "not YAML"),
        ("", "a spec is a mapping of keys"),
        ("my_key: {run: SAC, env: CartPole-v1}", "run: no 'SAC'"),
    ],
)
def test_the_command_says_what_is_no_old_spec(text: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    if text is not None:
        path.write_text(text, "utf-8")
    done = rlsweep_convert(path, "--output", tmp_path / "specs")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert not (tmp_path / "specs").exists()
