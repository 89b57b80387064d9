from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import imageio.v2 as imageio
import numpy as np
import pytest
import torch

from rlsweep.cli.bests import rollouts_text
from rlsweep.errors import BundleError, RunError, UsageError
from rlsweep.rl.bundle import DESCRIPTION, WEIGHTS, load_bundle, save_bundle
from rlsweep.rl.environments import make_playing_environment
from rlsweep.rl.networks import Torso
from rlsweep.rl.play import play_games
from rlsweep.rl.policies import ActorCritic, QNetwork
from rlsweep.run.film import CAPTION_HEIGHT, GAP, Panel, mosaic
from rlsweep.run.game_statistics import difference, summarize
from rlsweep.run.rollout import MAX_FILMED_GAMES, Play, rollout, rollout_together
from rlsweep.spec import load

ROOT = Path(__file__).parents[2]


def save(folder: Path, spec: str, **overrides: str) -> ActorCritic | QNetwork:
    """A bundle of an untrained policy of a shipped spec."""
    sweep = load(spec, overrides=[f"{key}={value}" for key, value in overrides.items()], root=ROOT).sweep
    environment = make_playing_environment(sweep.env, 1)
    shape, actions = environment.single_observation_space.shape, environment.single_action_space
    environment.close()
    assert shape is not None
    torch.manual_seed(1)
    settings: dict[str, Any] = {}
    policy: ActorCritic | QNetwork
    if sweep.algorithm == "dqn":
        assert isinstance(actions, gymnasium.spaces.Discrete)
        settings = {"dueling": True, "num_atoms": 1, "v_min": -10.0, "v_max": 10.0}
        policy = QNetwork(sweep.network, shape, actions, **settings)
    else:
        policy = ActorCritic(sweep.network, shape, actions, with_critic=False)
    weights = {name: value.numpy() for name, value in policy.state_dict().items()}
    save_bundle(
        folder,
        sweep,
        weights,
        observation_shape=shape,
        action_space=actions,
        q_settings=settings,
        origin={"sweep": sweep.name},
    )
    return policy


@pytest.mark.parametrize(
    ("spec", "overrides"),
    [
        ("breakout_lr.yaml", {}),
        ("breakout_ppo_reference.yaml", {}),
        ("breakout_dqn.yaml", {}),
        ("cartpole_ppo.yaml", {}),
        ("cartpole_ppo.yaml", {"env.id": "Pendulum-v1"}),
    ],
)
def test_a_bundle_decides_as_the_policy_it_was_made_of(
    tmp_path: Path, spec: str, overrides: dict[str, str]
) -> None:
    policy = save(tmp_path, spec, **overrides)
    bundle = load_bundle(tmp_path)
    shape = json.loads((tmp_path / DESCRIPTION).read_text())["observation_shape"]
    observations = torch.randint(0, 256, (5, *shape), dtype=torch.uint8)
    for torso in (module for module in policy.modules() if isinstance(module, Torso)):
        torso.precision = "fp32"  # in which a bundle plays on every machine
    assert torch.equal(bundle.policy.decide(observations), policy.decide(observations))


def test_loading_and_playing_needs_no_ray(tmp_path: Path) -> None:
    save(tmp_path / "b", "cartpole_ppo.yaml")
    code = (
        "import sys; from pathlib import Path; from rlsweep.rl.bundle import load_bundle;"
        "from rlsweep.run.rollout import Play, rollout;"
        f"print(len(rollout(load_bundle(Path({str(tmp_path / 'b')!r})), Play(3))), 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3 False"


def test_the_same_seed_plays_the_same_games(tmp_path: Path) -> None:
    save(tmp_path, "breakout_lr.yaml")
    bundle = load_bundle(tmp_path)
    first = rollout(bundle, Play(3, seed=5))
    assert first == rollout(bundle, Play(3, seed=5))
    assert first != rollout(bundle, Play(3, seed=6))


def test_each_environment_plays_a_fixed_share_of_the_games(tmp_path: Path) -> None:
    """Taking the first games that end would prefer the short ones."""
    save(tmp_path, "cartpole_ppo.yaml")
    bundle = load_bundle(tmp_path)
    environment = make_playing_environment(bundle.env, 3)
    games = play_games(bundle.policy, environment, 7, greedy=False, seed=0)
    assert sorted(game.env_index for game in games) == [0, 0, 0, 1, 1, 2, 2]


def test_a_game_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, "breakout_lr.yaml")
    bundle = load_bundle(tmp_path)
    monkeypatch.setattr("rlsweep.rl.play.MAX_ENV_STEPS_PER_GAME", 20)
    with pytest.raises(RunError, match="has not ended after 20 env steps"):
        rollout(bundle, Play(1))


def test_a_video_shows_the_game(tmp_path: Path) -> None:
    save(tmp_path, "breakout_lr.yaml")
    video = tmp_path / "films" / "breakout.mp4"
    games = rollout(load_bundle(tmp_path), Play(1), video=video)
    reader = imageio.get_reader(video)
    assert reader.count_frames() == pytest.approx(games[0].env_steps, abs=8)  # type: ignore[attr-defined]
    assert reader.count_frames() > 100  # type: ignore[attr-defined]
    frame = np.asarray(reader.get_data(50))  # type: ignore[attr-defined]
    assert frame.shape == (2 * 210 + CAPTION_HEIGHT + GAP, 2 * 160 + GAP, 3)
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 8, "a game has colours"


def damage_description(folder: Path) -> None:
    (folder / DESCRIPTION).write_text("{", "utf-8")


def remove_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def cut_weights(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])


def change_network(folder: Path) -> None:
    description = json.loads((folder / DESCRIPTION).read_text())
    description["network"]["fcnet_hiddens"] = [8]
    (folder / DESCRIPTION).write_text(json.dumps(description), "utf-8")


def setting(**changes: Any) -> Any:
    def harm(folder: Path) -> None:
        description = json.loads((folder / DESCRIPTION).read_text())
        (folder / DESCRIPTION).write_text(json.dumps(description | changes), "utf-8")

    return harm


@pytest.mark.parametrize(
    "harm",
    [
        damage_description,
        remove_weights,
        cut_weights,
        change_network,
        setting(format=99),
        setting(action_space=[]),
        setting(action_space={"n": -1}),
        setting(observation_shape=None),
        setting(observation_shape=[3]),
        setting(q_settings={"foo": 1}),
        setting(env={"id": "Nowhere-v0"}),
        lambda folder: (folder / DESCRIPTION).write_text("[]"),
    ],
)
def test_a_broken_bundle_is_refused(tmp_path: Path, harm: Any) -> None:
    save(tmp_path, "cartpole_ppo.yaml")
    harm(tmp_path)
    with pytest.raises(BundleError):
        load_bundle(tmp_path)


def test_a_film_needs_a_name_of_a_known_format(tmp_path: Path) -> None:
    save(tmp_path, "cartpole_ppo.yaml")
    with pytest.raises(UsageError, match=r"allowed: \.mp4"):
        rollout(load_bundle(tmp_path), Play(1), video=tmp_path / "film.foo")


def test_cartpole_can_be_filmed(tmp_path: Path) -> None:
    save(tmp_path, "cartpole_ppo.yaml")
    rollout(load_bundle(tmp_path), Play(1), video=tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").stat().st_size > 1000


def test_the_summary_of_scores() -> None:
    found = summarize([1.7, 30.5, 1.7, 30.5], "ALE/Breakout-v5")
    assert (found.games, found.mean.value, found.median) == (4, 16.1, 16.1)
    assert found.mean.low < 16.1 < found.mean.high
    assert found.human_normalized == pytest.approx(0.5), "between a random player's 1.7 and a human's 30.5"
    text = str(summarize([2.0, 4.0], "CartPole-v1"))
    assert text == "mean 3.00 ± 1.41 over 2 games, 95 % interval -9.71 to 15.71, median 3"
    assert str(summarize([2.0], "CartPole-v1")) == "mean 2.00 ± 0.00 over 1 games, median 2"


def test_a_gif_is_a_film_too(tmp_path: Path) -> None:
    save(tmp_path, "cartpole_ppo.yaml")
    rollout(load_bundle(tmp_path), Play(1), video=tmp_path / "film.gif")
    assert (tmp_path / "film.gif").read_bytes().startswith(b"GIF89a")


def test_random_and_sticky_actions_of_a_rollout(tmp_path: Path) -> None:
    save(tmp_path, "breakout_lr.yaml")
    bundle = load_bundle(tmp_path)
    plain = rollout(bundle, Play(3, greedy=True, seed=5))
    assert rollout(bundle, Play(3, greedy=True, seed=5, epsilon=1.0)) != plain
    sampled = rollout(bundle, Play(3, seed=5))
    assert rollout(bundle, Play(3, seed=5, sticky_actions=0.9)) != sampled
    assert rollout(bundle, Play(3, seed=5, sticky_actions=0.0)) == sampled, "trained without"
    save(tmp_path / "cartpole", "cartpole_ppo.yaml")
    with pytest.raises(UsageError, match="CartPole-v1 is no ALE game"):
        rollout(load_bundle(tmp_path / "cartpole"), Play(1, sticky_actions=0.25))


def test_several_policies_in_one_film_each_with_its_games(tmp_path: Path) -> None:
    save(tmp_path / "breakout", "breakout_lr.yaml")
    bundle = load_bundle(tmp_path / "breakout")
    video = tmp_path / "both.mp4"
    play = Play(4, greedy=True, seed=5)
    told: list[tuple[str, float]] = []
    played = rollout_together(
        {"a": bundle, "b": bundle},
        play,
        video=video,
        beside=4,
        on_game=lambda name, game: told.append((name, game.score)),
    )
    assert played["a"] == played["b"], "the same policy plays the same games"
    assert sorted(told) == sorted((name, game.score) for name in "ab" for game in played[name])
    reader = imageio.get_reader(video)
    assert reader.count_frames() == max(game.env_steps for game in played["a"]) + 1  # type: ignore[attr-defined]
    width, height = reader.get_meta_data()["size"]
    panel = (2 * 160 + GAP, 2 * 210 + CAPTION_HEIGHT + GAP)
    assert (width, height) == (2 * 2 * panel[0] + 4 * GAP, 2 * panel[1]), "two by two of each, side by side"


@pytest.mark.parametrize("beside", [0, MAX_FILMED_GAMES + 1])
def test_no_picture_holds_any_number_of_games(beside: int) -> None:
    with pytest.raises(UsageError, match=f"beside: {beside} games in one picture; allowed: 1 to 16"):
        rollout_together({}, Play(1), beside=beside)


def test_what_is_said_of_policies_that_played() -> None:
    summary, gif = summarize([2.0], "CartPole-v1"), Path("film.gif")
    assert rollouts_text(["a"], [summary], [], None) == str(summary)
    assert rollouts_text(["a", "b"], [summary] * 2, ["+0.00"], gif).splitlines() == [
        *(f"a: {summary}", f"b: {summary}", "a against b: +0.00", "video: film.gif")
    ]


def test_a_mosaic_of_pictures_with_captions() -> None:
    bright, dark = np.full((200, 100, 3), 250, np.uint8), np.zeros((200, 100, 3), np.uint8)
    found = mosaic([Panel(bright, ""), Panel(dark, "score 7"), Panel(bright, "")])
    height, width = 400 + CAPTION_HEIGHT + GAP, 200 + GAP
    assert found.shape == (2 * height, 2 * width, 3)
    assert (found[CAPTION_HEIGHT : CAPTION_HEIGHT + 400, :200] == 250).all()
    assert found[:CAPTION_HEIGHT, :200].max() < 50, "no caption"
    assert found[:CAPTION_HEIGHT, width:].max() > 200, "a caption"
    assert found[height:, width:].max() < 50, "nobody plays there"


def test_whether_two_policies_differ() -> None:
    assert (
        difference([10, 11, 12], [1, 2, 3]) == "+9.00, 95 % interval +6.73 to +11.27: which is more than luck"
    )
    assert difference([1, 20], [2, 3]).endswith("which may be luck")
    assert difference([5], [3]) == "+2.00; one game says nothing of the difference"
