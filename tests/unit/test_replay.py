"""The replay buffers against the plain definition of what they hold, computed from the raw streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from rlsweep.rl import frame_ring, transitions
from rlsweep.rl.environments import make_environment
from rlsweep.rl.frame_ring import REACH
from rlsweep.rl.prioritized_replay import PrioritizedReplay
from rlsweep.rl.replay import UniformReplay
from rlsweep.rl.sum_tree import SumTree
from rlsweep.spec.env import EnvSpec

FRAME = (2, 3)
GAMMA = 0.9


@dataclass
class Game:
    """One environment slot: a game whose frames are numbered, stacked as a game stacks them.

    Episodes end by chance, and a new one goes on from the same game (a lost life) or starts another.
    """

    slot: int
    stack: int
    rng: np.random.Generator
    padding: str
    truth: dict[int, tuple[Any, ...]]
    clock: list[int]
    frames: list[np.ndarray] = field(default_factory=list)
    chunk: SingleAgentEpisode | None = None

    def observation(self) -> np.ndarray:
        if self.stack == 1:
            return self.frames[-1]
        return np.stack(self.frames[-self.stack :])

    def new_frame(self) -> None:
        self.frames.append(self.rng.integers(0, 256, FRAME, dtype=np.uint8))

    def new_game(self) -> None:
        self.new_frame()
        newest = self.frames.pop()
        padding = {"zeros": np.zeros(FRAME, np.uint8), "repeat": newest}.get(self.padding)
        others = [self.rng.integers(0, 256, FRAME, dtype=np.uint8) for _ in range(self.stack - 1)]
        self.frames = [*(others if padding is None else [padding] * (self.stack - 1)), newest]

    def start(self) -> None:
        if not self.frames or self.rng.random() < 0.4:
            self.new_game()
        else:
            self.new_frame()
        self.chunk = SingleAgentEpisode(observations=[self.observation()], infos=[{}])

    def play(self, steps: int) -> Iterator[SingleAgentEpisode]:
        """Chunks of episodes as an env runner returns them."""
        for _ in range(steps):
            if self.chunk is None:
                self.start()
                continue
            before, (action, reward) = self.observation(), (self.clock[0], float(self.rng.normal()))
            self.clock[0] += 1
            self.new_frame()
            ended = self.rng.random() < 0.15
            terminated = bool(ended and self.rng.random() < 0.6)
            truncated = bool(ended and not terminated)
            after = self.observation()
            self.truth[action] = (self.chunk.id_, before, reward, after, terminated, truncated)
            self.chunk.add_env_step(after, action, reward, {}, terminated=terminated, truncated=truncated)
            if ended:
                yield self.chunk.to_numpy()
                self.chunk = None
        if self.chunk is not None and len(self.chunk):
            rest = self.chunk.cut(len_lookback_buffer=int(self.rng.integers(0, 3)))
            yield self.chunk.to_numpy()
            self.chunk = rest


@dataclass
class Stream:
    """Several games, and every step that they ever made. Actions number the steps."""

    stack: int
    slots: int = 3
    seed: int = 0
    padding: str = "zeros"
    truth: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    added: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng, clock = np.random.default_rng(self.seed), [0]
        self.games = [
            Game(slot, self.stack, rng, self.padding, self.truth, clock) for slot in range(self.slots)
        ]

    def play(self, steps: int) -> list[SingleAgentEpisode]:
        chunks = [chunk for game in self.games for chunk in game.play(steps)]
        self.added += [int(action) for chunk in chunks for action in chunk.get_actions()]
        return chunks

    def expected(self, action: int, n_step: int) -> tuple[Any, ...]:
        """obs, n-step return, next obs, terminated, truncated, steps: read off the stream."""
        episode, before, *_ = self.truth[action]
        later = [step for key, step in sorted(self.truth.items()) if key >= action and step[0] == episode]
        taken = later[:n_step]
        returns = sum(GAMMA**index * step[2] for index, step in enumerate(taken))
        _, _, _, after, terminated, truncated = taken[-1]
        return before, returns, after, terminated, truncated, len(taken)


def check(batch: Any, stream: Stream, n_step: int) -> None:
    for index, action in enumerate(batch["actions"]):
        before, returns, after, terminated, truncated, steps = stream.expected(int(action), n_step)
        np.testing.assert_array_equal(batch["obs"][index], before)
        np.testing.assert_array_equal(batch["new_obs"][index], after)
        assert batch["rewards"][index] == pytest.approx(returns, rel=1e-5, abs=1e-5)
        assert (batch["terminateds"][index], batch["truncateds"][index]) == (terminated, truncated)
        assert batch["n_step"][index] == steps
        assert steps == n_step or terminated or truncated


def drawn_sometimes(replay: UniformReplay) -> None:
    """Priorities change between two chunks as in training."""
    if isinstance(replay, PrioritizedReplay) and len(replay):
        batch = replay.sample(8)
        replay.update_priorities(batch["rewards"])


@pytest.mark.parametrize("kind", [UniformReplay, PrioritizedReplay])
@settings(max_examples=40, deadline=None)
@given(
    stack=st.sampled_from([1, 2, 4]),
    capacity=st.integers(5, 400),
    n_step=st.integers(1, 5),
    fragment=st.integers(1, 40),
    padding=st.sampled_from(["zeros", "repeat", "anything"]),
    reach=st.sampled_from([4, 8, 40, REACH]),
    seed=st.integers(0, 1000),
)
def test_every_item_is_as_the_stream_was(
    kind: type[UniformReplay],
    stack: int,
    capacity: int,
    n_step: int,
    fragment: int,
    padding: str,
    reach: int,
    seed: int,
) -> None:
    """With a short reach the ring wraps soon, and stacks that would lie too far apart are stored whole."""
    stream = Stream(stack, seed=seed, padding=padding)
    replay = kind(capacity, frame_stack=stack, seed=seed)
    with patch.object(frame_ring, "REACH", reach), patch.object(transitions, "REACH", reach):
        while len(stream.added) < min(3 * capacity, 60 * fragment):
            replay.add(stream.play(fragment))
            drawn_sometimes(replay)
    assert replay.get_added_timesteps() == len(stream.added)
    assert len(replay) <= capacity
    try:
        batch = replay.sample(64, n_step=n_step, gamma=GAMMA, beta=0.5)
    except ValueError:
        # Nothing that is held goes on for so long, or whole stacks left no room for items.
        assert len(replay) < max(3 * n_step, 2 * stack)
        return
    check(batch, stream, n_step)
    assert batch["obs"].flags.c_contiguous
    assert batch["new_obs"].flags.c_contiguous
    assert batch["obs"].dtype == np.uint8
    # Of each slot, the step that goes on from the chunk before starts from an older observation.
    newest = set(stream.added[-len(replay) - stream.slots :])
    assert {int(action) for action in batch["actions"]} <= newest


def test_the_last_transitions_are_held_and_all_of_them_are_drawn() -> None:
    stream, replay = Stream(4, seed=3), UniformReplay(100, frame_stack=4, seed=0)
    while len(stream.added) < 5000:
        replay.add(stream.play(10))
    assert len(replay) == 100
    drawn = np.concatenate([replay.sample(100)["actions"] for _ in range(50)])
    assert len(set(drawn)) == 100
    assert set(drawn) <= set(stream.added[-100 - stream.slots :])
    counts = np.bincount(drawn - drawn.min())
    counts = counts[counts > 0]
    chi_square = ((counts - 50.0) ** 2 / 50.0).sum()
    assert chi_square < 160  # 99 degrees of freedom: 1 in 10,000 is above 161


def test_a_pair_of_n_steps_is_drawn_from_for_each_item() -> None:
    stream, replay = Stream(1, seed=5), UniformReplay(1000, seed=0)
    for _ in range(50):
        replay.add(stream.play(10))
    batch = replay.sample(300, n_step=(1, 3), gamma=GAMMA)
    steps = batch["n_step"]
    for index, action in enumerate(batch["actions"]):
        before, returns, *_ = stream.expected(int(action), int(steps[index]))
        np.testing.assert_array_equal(batch["obs"][index], before)
        assert batch["rewards"][index] == pytest.approx(returns, rel=1e-5, abs=1e-5)
    assert set(steps) == {1.0, 2.0, 3.0}


def test_what_cannot_be_drawn_or_stored_is_refused() -> None:
    replay = UniformReplay(100, seed=0)
    with pytest.raises(ValueError, match="empty"):
        replay.sample(1)
    episode = SingleAgentEpisode(
        observations=[np.zeros(3), np.ones(3)],
        actions=[0],
        rewards=[1.0],
        infos=[{}, {}],
        len_lookback_buffer=0,
    )
    replay.add(episode.to_numpy())
    with pytest.raises(ValueError, match="none of 1 transitions in the replay buffer has 3 steps after it"):
        replay.sample(1, n_step=3)
    with pytest.raises(ValueError, match="no stacks of 4 frames"):
        UniformReplay(100, frame_stack=4).add(episode)


def test_floats_of_a_vector_environment_come_back_as_they_were() -> None:
    observations = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    episode = SingleAgentEpisode(
        observations=list(observations),
        actions=[0, 1, 0, 1, 0],
        rewards=[1.0] * 5,
        infos=[{}] * 6,
        terminated=True,
        len_lookback_buffer=0,
    )
    replay = UniformReplay(10, seed=0)
    replay.add(episode.to_numpy())
    batch = replay.sample(50)
    assert batch["obs"].dtype == np.float32
    assert {tuple(row) for row in batch["obs"]} == {tuple(row) for row in observations[:-1]}
    assert {tuple(row) for row in batch["new_obs"]} == {tuple(row) for row in observations[1:]}


def test_each_frame_of_breakout_is_stored_once() -> None:
    """Short lives at random play are the worst case: each ends with one more observation than steps."""
    environment = make_environment(EnvSpec.model_validate({"id": "ALE/Breakout-v5"}), 4)
    replay = UniformReplay(5000, frame_stack=4, seed=0)
    rng, episodes = np.random.default_rng(0), [SingleAgentEpisode() for _ in range(4)]
    for episode, observation in zip(episodes, environment.reset(seed=0)[0], strict=True):
        episode.add_env_reset(observation.copy())
    truth = {}
    for step in range(2000):
        actions = rng.integers(0, 4, 4)
        observations, rewards, terminations, truncations, _ = environment.step(actions)
        done = []
        for slot, episode in enumerate(episodes):
            observation = observations[slot].copy()
            if not episode.is_reset:
                episode.add_env_reset(observation)
                continue
            truth[step * 4 + slot] = (episode.get_observations(-1), observation)
            episode.add_env_step(
                observation,
                step * 4 + slot,
                rewards[slot],
                terminated=bool(terminations[slot]),
                truncated=bool(truncations[slot]),
            )
            if episode.is_done:
                done.append(episode.to_numpy())
                episodes[slot] = SingleAgentEpisode()
        if step % 8 == 7:
            going = [episode for episode in episodes if episode.is_reset and len(episode)]
            rests = {id(episode): episode.cut() for episode in going}
            replay.add([*done, *(episode.to_numpy() for episode in going)])
            episodes = [rests.get(id(episode), episode) for episode in episodes]
        else:
            replay.add(done)
    environment.close()
    assert len(replay) == 5000
    stored = replay._transitions
    assert stored is not None
    per_transition = stored.ring.written / replay.get_added_timesteps()
    assert per_transition < 1.05
    # The same share of a large buffer, whose fixed reach counts for less.
    full = UniformReplay(100_000, frame_stack=4)
    full._stored_as(np.zeros((1, 4, 84, 84), np.uint8), np.zeros(1, np.int64))
    assert full.nbytes < 1.1 * 100_000 * 84 * 84
    batch = replay.sample(200)
    for index, action in enumerate(batch["actions"]):
        np.testing.assert_array_equal(batch["obs"][index], truth[int(action)][0])
        np.testing.assert_array_equal(batch["new_obs"][index], truth[int(action)][1])


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 70), seed=st.integers(0, 1000))
def test_the_sum_tree_finds_what_a_cumulative_sum_finds(size: int, seed: int) -> None:
    rng, tree, plain = np.random.default_rng(seed), SumTree(size), np.zeros(size)
    for _ in range(10):
        leaves = rng.integers(0, size, rng.integers(0, size + 1))
        priorities = rng.random(len(leaves)) * (rng.random(len(leaves)) < 0.7)
        tree.set(leaves, priorities)
        for leaf, priority in zip(leaves, priorities, strict=True):
            plain[leaf] = priority
        np.testing.assert_array_equal(tree[np.arange(size)], plain)
        assert tree.total == pytest.approx(plain.sum())
        assert tree.smallest == min(plain[plain > 0], default=np.inf)
        if plain.sum() > 0:
            masses = rng.random(200) * tree.total
            found = tree.find(masses)
            sums = np.cumsum(plain)
            is_clear = np.abs(masses[:, None] - sums).min(axis=1) > 1e-9
            np.testing.assert_array_equal(
                found[is_clear], np.searchsorted(sums, masses, side="right")[is_clear]
            )
            assert (plain[tree.find(np.array([0.0, np.nextafter(tree.total, 0)]))] > 0).all()


def test_priorities_decide_how_often_an_item_is_drawn_and_what_it_weighs() -> None:
    """Schaul et al. 2016, equation 1 and section 3.4."""
    alpha, beta = 0.7, 0.4
    stream, replay = Stream(1, seed=1), PrioritizedReplay(60, alpha=alpha, seed=0)
    while len(replay) < 60:
        replay.add(stream.play(5))
    errors: dict[int, float] = {}
    rng = np.random.default_rng(0)
    while len(errors) < 60:
        batch = replay.sample(16)
        fresh = np.array([errors.setdefault(int(action), rng.uniform(0.1, 5)) for action in batch["actions"]])
        replay.update_priorities(fresh)
    chances = {action: error**alpha for action, error in errors.items()}
    total = sum(chances.values())
    drawn: list[int] = []
    for _ in range(300):
        batch = replay.sample(64, beta=beta)
        drawn += [int(action) for action in batch["actions"]]
        weights = [(chances[int(a)] / min(chances.values())) ** -beta for a in batch["actions"]]
        np.testing.assert_allclose(batch["weights"], weights, rtol=1e-5)
    counts = np.array([drawn.count(action) for action in chances])
    expected = np.array(list(chances.values())) / total * len(drawn)
    assert ((counts - expected) ** 2 / expected).sum() < 110  # 59 degrees of freedom: 1 in 20,000


def test_new_items_have_the_largest_priority_and_overwritten_ones_none() -> None:
    stream, replay = Stream(1, seed=2), PrioritizedReplay(50, alpha=1.0, seed=0)
    while len(replay) < 50:
        replay.add(stream.play(5))
    replay.sample(10)
    replay.update_priorities(np.full(10, 9.0))
    before = set(stream.added)
    replay.add(stream.play(5))
    new = set(stream.added) - before
    stored, tree = replay._transitions, replay._tree
    assert stored is not None
    assert tree is not None
    held = np.arange(stored.low, stored.ring.written)
    held = held[stored.hold(held)]
    priority = dict(
        zip(stored.actions[held % stored.ring.slots], tree[held % stored.ring.slots], strict=True)
    )
    assert {priority[action] for action in new} == {9.0}
    assert tree.total == pytest.approx(sum(priority.values()))  # nothing else can be drawn
    assert len(priority) == 50


def test_priorities_of_items_that_are_gone_go_nowhere() -> None:
    stream, replay = Stream(1, seed=2), PrioritizedReplay(20, alpha=1.0, seed=0)
    while len(replay) < 20:
        replay.add(stream.play(5))
    replay.sample(20)
    for _ in range(2000):
        replay.add(stream.play(5))
    replay.update_priorities(np.full(20, 100.0))
    tree = replay._tree
    assert tree is not None
    assert tree.total == pytest.approx(20.0)


def test_a_priority_that_is_no_number_is_none() -> None:
    stream, replay = Stream(1, seed=2), PrioritizedReplay(20, alpha=1.0, seed=0)
    while len(replay) < 20:
        replay.add(stream.play(5))
    replay.sample(3)
    replay.update_priorities(np.array([np.nan, np.inf, np.nan]))
    replay.add(stream.play(5))
    assert replay._tree is not None
    assert replay._tree.total == pytest.approx(20.0)
    assert len(np.unique(replay.sample(200)["actions"])) > 15


@pytest.mark.parametrize("kind", [UniformReplay, PrioritizedReplay])
@pytest.mark.parametrize(("capacity", "other"), [(200, 200), (200, 50), (50, 200)])
def test_a_state_brings_everything_back(kind: type[UniformReplay], capacity: int, other: int) -> None:
    stream, replay = Stream(4, seed=4), kind(capacity, frame_stack=4, seed=0)
    for _ in range(100):
        replay.add(stream.play(10))
    if isinstance(replay, PrioritizedReplay):
        replay.sample(150)
        replay.update_priorities(np.linspace(0.1, 4.0, 150))
    state = {name: np.array(value) for name, value in replay.get_state().items()}
    restored = kind(other, frame_stack=4, seed=7)
    restored.set_state(state)
    assert len(restored) == min(capacity, other)
    assert restored.get_added_timesteps() == replay.get_added_timesteps()
    assert restored.get_metrics()["num_env_steps_added_lifetime"].peek() == 0, "those since then"
    check(restored.sample(100, n_step=2, gamma=GAMMA), stream, 2)
    if (
        capacity == other
        and isinstance(replay, PrioritizedReplay)
        and isinstance(restored, PrioritizedReplay)
    ):
        assert replay._tree is not None
        assert restored._tree is not None
        leaves = np.arange(replay._tree.size)
        np.testing.assert_array_equal(replay._tree[leaves], restored._tree[leaves])
    # It goes on as any other: new games come in, old ones go.
    again = Stream(4, seed=11)
    offset = 1_000_000
    for _ in range(400):
        chunks = again.play(10)
        for chunk in chunks:
            chunk.actions.data = chunk.actions.data + offset
        restored.add(chunks)
    again.truth = {key + offset: value for key, value in again.truth.items()}
    check(restored.sample(100, n_step=3, gamma=GAMMA), again, 3)
