"""The learner's batches, advantages and losses against RLlib's own and against the plain definitions."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ray.rllib.algorithms.appo.torch.appo_torch_learner import APPOTorchLearner
from ray.rllib.algorithms.impala.torch.impala_torch_learner import IMPALATorchLearner
from ray.rllib.algorithms.impala.torch.vtrace_torch_v2 import vtrace_torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.connectors.learner import GeneralAdvantageEstimation
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets

from rlsweep.plan import Machine, make
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.batches import (
    Advantages,
    EpisodesToBatch,
    generalized_advantages,
    train_columns,
    train_observations,
)
from rlsweep.rl.learners import LEARNERS, minibatches
from rlsweep.spec import Sweep
from rlsweep.store.rows import GLOBAL_NORM

STOCK: dict[str, type[TorchLearner]] = {
    "ppo": PPOTorchLearner,
    "appo": APPOTorchLearner,
    "impala": IMPALATorchLearner,
}
TRAINING: dict[str, dict[str, Any]] = {
    "ppo": {"minibatch_size": 32, "num_epochs": 1, "use_kl_loss": True, "entropy_coeff": 0.01},
    "appo": {},
    "impala": {"entropy_coeff": 0.01},
}
FRAMES = gymnasium.spaces.Box(0, 255, (4, 44, 44), np.uint8)
ACTIONS = gymnasium.spaces.Discrete(3)


def learner(
    cls: type[TorchLearner], algorithm: str, precision: str = "fp32", **training: Any
) -> TorchLearner:
    """A built learner of Nature CNNs on small frames, weights of one seed, RLlib's or our own pipeline."""
    sweep = Sweep.parse(
        {
            "version": 1,
            "name": "parity",
            "algorithm": algorithm,
            "env": {"id": "ALE/Breakout-v5", "protocol": "dqn"},
            "training": {"train_batch_size_per_learner": 64, **TRAINING[algorithm], **training},
            "network": {"name": "nature_cnn", "precision": precision},
            "objective": {"metric": "score", "goal": "maximize"},
            "stop": {"env_steps": 1000},
        }
    )
    trial = make(sweep, Machine.of(2, 0)).example
    config = build_config(trial.sweep, 0, trial.resources).env_runners(rollout_fragment_length=9)
    is_stock = cls is STOCK[algorithm]
    if is_stock:
        config._learner_connector = None
    config.learners(learner_class=cls, add_default_connectors_to_learner_pipeline=is_stock)
    torch.manual_seed(0)
    made = cls(config=config, module_spec=config.get_multi_rl_module_spec(spaces=_spaces()))
    made.build()
    return made


def _spaces() -> dict[str, tuple[gymnasium.Space, gymnasium.Space]]:
    return {DEFAULT_MODULE_ID: (FRAMES, ACTIONS)}


def episode(generator: np.random.Generator, length: int, *, terminated: bool) -> SingleAgentEpisode:
    logits = generator.normal(size=(length, 3)).astype(np.float32)
    actions = generator.integers(0, 3, length)
    logp = np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))[np.arange(length), actions]
    return SingleAgentEpisode(
        observations=list(generator.integers(0, 256, (length + 1, 4, 44, 44), dtype=np.uint8)),
        observation_space=FRAMES,
        actions=list(actions),
        action_space=ACTIONS,
        rewards=list(generator.normal(size=length).astype(np.float32)),
        terminated=terminated,
        extra_model_outputs={
            Columns.ACTION_DIST_INPUTS: list(logits),
            Columns.ACTION_LOGP: list(logp.astype(np.float32)),
            "weights_seq_no": [1] * length,
        },
        len_lookback_buffer=0,
    ).to_numpy()


def episodes(lengths: dict[int, bool] | None = None) -> list[SingleAgentEpisode]:
    generator = np.random.default_rng(5)
    ends = lengths or {7: True, 13: False, 1: True, 10: False, 9: True}
    return [episode(generator, length, terminated=ended) for length, ended in ends.items()]


@pytest.mark.parametrize("algorithm", ["ppo", "impala", "appo"])
def test_the_columns_are_those_of_rllibs_pipeline(algorithm: str) -> None:
    stock = learner(STOCK[algorithm], algorithm)
    pipeline = stock._learner_connector
    if algorithm == "ppo":
        pipeline.remove(GeneralAdvantageEstimation)
    expected = pipeline(rl_module=stock.module, batch={}, episodes=episodes(), shared_data={})[
        DEFAULT_MODULE_ID
    ]
    got = EpisodesToBatch()(rl_module=stock.module, batch={}, episodes=episodes())[DEFAULT_MODULE_ID]
    assert set(expected) <= set(got)
    mask = got[Columns.LOSS_MASK]
    for name, values in expected.items():
        assert len(values) == len(got[name])
        rows = slice(None) if name in (Columns.OBS, Columns.LOSS_MASK, Columns.TERMINATEDS) else mask
        torch.testing.assert_close(got[name][rows].float(), values[rows].float(), msg=name)
    stock.shutdown()


@pytest.mark.parametrize("algorithm", ["ppo", "impala", "appo"])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 2e-2)])
def test_losses_and_gradients_are_those_of_rllib(algorithm: str, precision: str, tolerance: float) -> None:
    """The same episodes and weights, one update: RLlib's learner with its pipeline, in fp32, and ours."""
    results = []
    for cls, number in ((STOCK[algorithm], "fp32"), (LEARNERS[algorithm], precision)):
        made = learner(cls, algorithm, number)
        shared: dict[str, Any] = {}
        batch = made._learner_connector(
            rl_module=made.module, batch={}, episodes=episodes(), shared_data=shared
        )[DEFAULT_MODULE_ID]
        if algorithm == "ppo":  # RLlib scales advantages with masked rows counted in: give both the same
            batch[Postprocessing.ADVANTAGES] = torch.linspace(-1, 1, len(batch[Columns.OBS]))
            batch[Postprocessing.VALUE_TARGETS] = torch.linspace(1, -1, len(batch[Columns.OBS]))
        whole = MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(batch)}, env_steps=40)
        made.before_gradient_based_update(timesteps={})
        if algorithm == "ppo" and cls is LEARNERS["ppo"]:
            [whole] = minibatches(whole, num_epochs=1, minibatch_size=None, shuffle=True)
        outputs = made.module.forward_train(whole.policy_batches)
        losses = made.compute_losses(fwd_out=outputs, batch=whole.policy_batches)
        gradients = made.compute_gradients(losses)
        flat = torch.cat([gradient.flatten() for gradient in gradients.values()])
        results.append((float(losses[DEFAULT_MODULE_ID].detach()), flat))
        made.shutdown()
    (loss, gradient), (ours, mine) = results
    assert ours == pytest.approx(loss, rel=tolerance, abs=tolerance)
    assert float((mine - gradient).norm() / gradient.norm()) < tolerance


@pytest.mark.parametrize(
    ("grad_clip", "by"),
    [(0.5, "global_norm"), (1e3, "global_norm"), (0.1, "norm"), (1e-3, "value"), (None, "value")],
)
def test_gradients_are_clipped_as_by_rllib(grad_clip: float | None, by: str) -> None:
    found: list[tuple[torch.Tensor, Any]] = []
    for cls in (STOCK["ppo"], LEARNERS["ppo"]):
        made = learner(cls, "ppo", grad_clip=grad_clip, grad_clip_by=by)
        torch.manual_seed(1)
        gradients = {ref: torch.randn_like(parameter) for ref, parameter in made._params.items()}
        for ref, parameter in made._params.items():
            parameter.grad = gradients[ref]
        clipped = made.postprocess_gradients(gradients)
        norm = made.metrics.peek((DEFAULT_MODULE_ID, GLOBAL_NORM), default=0.0)
        found.append((torch.cat([gradient.flatten() for gradient in clipped.values()]), norm))
        made.shutdown()
    (theirs, their_norm), (ours, our_norm) = found
    torch.testing.assert_close(ours, theirs)
    if by == "global_norm":  # RLlib says it then alone, we always do
        assert float(our_norm) == pytest.approx(float(their_norm), rel=1e-5)
    assert our_norm > 0


def test_an_update_without_numbers_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    made = learner(LEARNERS["impala"], "impala", grad_clip=40.0)
    before = [parameter.detach().clone() for parameter in made._params.values()]
    for broken in (True, False):
        for parameter in made._params.values():
            parameter.grad = torch.ones_like(parameter)
        if broken:
            parameter.grad[0] = torch.inf
        made.apply_gradients(made.postprocess_gradients({ref: p.grad for ref, p in made._params.items()}))
        is_same = all(
            torch.equal(one, other) for one, other in zip(before, made._params.values(), strict=True)
        )
        assert is_same == broken
    assert caplog.text.count("its gradient is no number") == 1
    made.shutdown()


def test_values_that_were_noted_are_taken_and_only_those_of_last_observations_computed() -> None:
    made = learner(LEARNERS["ppo"], "ppo")
    columns = EpisodesToBatch()(rl_module=made.module, batch={}, episodes=episodes())[DEFAULT_MODULE_ID]
    mask = columns[Columns.LOSS_MASK]
    noted = torch.linspace(-1, 1, len(mask))
    with torch.no_grad():
        computed = made.module[DEFAULT_MODULE_ID].compute_values(columns)
    values = torch.where(mask, noted, computed).numpy().astype(np.float64)
    names = (Columns.REWARDS, Columns.TERMINATEDS, Columns.LOSS_MASK)
    expected = generalized_advantages(
        values, *(columns[name].numpy() for name in names), gamma=0.9, lambda_=0.8
    )
    batch = {DEFAULT_MODULE_ID: {**columns, Columns.VF_PREDS: noted.masked_fill(~mask, torch.nan)}}
    got = Advantages(gamma=0.9, lambda_=0.8)(rl_module=made.module, batch=batch)[DEFAULT_MODULE_ID]
    np.testing.assert_allclose(got[Postprocessing.VALUE_TARGETS], expected + values, atol=1e-5)
    assert Columns.VF_PREDS not in got
    made.shutdown()


def test_advantages_by_hand() -> None:
    """gamma = lambda = 1/2, values 1: an episode of two steps that ended, and a chunk of one that goes on."""
    advantages = generalized_advantages(
        np.ones(5),
        np.array([1.0, 2.0, 0.0, 3.0, 0.0]),
        np.array([False, True, False, False, False]),
        np.array([True, True, False, True, False]),
        gamma=0.5,
        lambda_=0.5,
    )
    last = 2.0 - 1.0
    first = 1.0 + 0.5 * 1.0 - 1.0 + 0.25 * last
    assert advantages == pytest.approx([first, last, 0.0, 3.0 + 0.5 - 1.0, 0.0])


rates = st.floats(0.0, 1.0)


@settings(deadline=None, max_examples=60)
@given(st.data(), rates, rates, st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=5))
def test_advantages_are_the_recursive_definition(
    data: st.DataObject, gamma: float, lambda_: float, ends: list[tuple[int, bool]]
) -> None:
    """Schulman et al. 2016, eq. 16, episode by episode; and RLlib's own function gives the same."""
    rows = sum(length + 1 for length, _ in ends)
    numbers = arrays(np.float64, rows, elements=st.floats(-10, 10))
    values, rewards = data.draw(numbers), data.draw(numbers)
    terminated, mask = np.zeros(rows, dtype=bool), np.ones(rows, dtype=bool)
    expected, chunk_ends, row = np.zeros(rows), np.zeros(rows, dtype=bool), 0
    for length, ended in ends:
        mask[row + length] = False
        terminated[row + length - 1], chunk_ends[row + length - 1] = ended, not ended
        advantage = 0.0
        for t in reversed(range(row, row + length)):
            goes_on = 0.0 if terminated[t] else 1.0
            residual = rewards[t] + gamma * goes_on * values[t + 1] - values[t]
            advantage = residual + gamma * lambda_ * advantage
            expected[t] = advantage
        row += length + 1
    got = generalized_advantages(values, rewards, terminated, mask, gamma=gamma, lambda_=lambda_)
    np.testing.assert_allclose(got, expected, atol=1e-9)
    targets = compute_value_targets(values, rewards, terminated, chunk_ends, gamma, lambda_)
    np.testing.assert_allclose((got + values)[mask], targets[mask], atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 7), st.integers(1, 3), st.floats(0.5, 2.0), st.floats(0.5, 2.0))
def test_v_trace_is_the_recursive_definition(
    data: st.DataObject, steps: int, batch: int, rho: float, pg_rho: float
) -> None:
    """Espeholt et al. 2018, eq. 1 and remark 1, as the loss of IMPALA and APPO computes it."""
    numbers = arrays(np.float32, (steps, batch), elements=st.floats(-2, 2, width=32))
    target, behaviour, rewards, values = (data.draw(numbers) for _ in range(4))
    discounts = data.draw(arrays(np.float32, (steps, batch), elements=st.sampled_from([0.0, 0.9])))
    bootstrap = data.draw(arrays(np.float32, batch, elements=st.floats(-2, 2, width=32)))
    got_values, got_advantages = vtrace_torch(
        target_action_log_probs=torch.tensor(target),
        behaviour_action_log_probs=torch.tensor(behaviour),
        discounts=torch.tensor(discounts),
        rewards=torch.tensor(rewards),
        values=torch.tensor(values),
        bootstrap_values=torch.tensor(bootstrap),
        clip_rho_threshold=rho,
        clip_pg_rho_threshold=pg_rho,
    )
    ratios = np.exp(target.astype(np.float64) - behaviour)
    following = np.concatenate([values[1:], bootstrap[None]])
    vs = np.zeros((steps + 1, batch))
    vs[steps] = bootstrap
    for t in reversed(range(steps)):
        residual = np.minimum(rho, ratios[t]) * (rewards[t] + discounts[t] * following[t] - values[t])
        vs[t] = values[t] + residual + discounts[t] * np.minimum(1.0, ratios[t]) * (vs[t + 1] - following[t])
    advantages = np.minimum(pg_rho, ratios) * (rewards + discounts * vs[1:] - values)
    np.testing.assert_allclose(got_values, vs[:-1], atol=2e-3)
    np.testing.assert_allclose(got_advantages, advantages, atol=2e-2)


def rows_of(count: int, masked: set[int]) -> MultiAgentBatch:
    mask = torch.tensor([row not in masked for row in range(count)])
    columns = {"obs": torch.arange(count), Columns.LOSS_MASK: mask}
    return MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=count - len(masked))


def test_minibatches_hold_every_valid_row_once_an_epoch() -> None:
    torch.manual_seed(0)
    made = list(minibatches(rows_of(14, {3, 9}), num_epochs=3, minibatch_size=4, shuffle=True))
    assert [len(one) for one in made] == [12 for _ in made]  # env steps of the whole batch
    seen = [one.policy_batches[DEFAULT_MODULE_ID]["obs"] for one in made]
    assert all(len(rows) == 4 for rows in seen)
    epochs = torch.cat(seen).view(3, 12)
    valid = [row for row in range(14) if row not in (3, 9)]
    assert all(sorted(epoch.tolist()) == valid for epoch in epochs)
    assert epochs[0].tolist() != epochs[1].tolist()


@pytest.mark.parametrize(
    ("size", "epochs", "count", "expected"),
    [(4, 1, 0, 2), (4, 2, 0, 5), (100, 2, 0, 2), (None, 3, 0, 3), (4, 1, 7, 7)],
)
def test_number_of_minibatches(size: int | None, epochs: int, count: int, expected: int) -> None:
    """Ten rows; all minibatches are full ones, and several learners are given their number."""
    made = minibatches(
        rows_of(12, {0, 1}), num_epochs=epochs, minibatch_size=size, shuffle=False, num_minibatches=count
    )
    sizes = [len(one.policy_batches[DEFAULT_MODULE_ID]) for one in made]
    assert sizes == [min(size or 10, 10)] * expected


def test_columns_of_one_episode() -> None:
    [one] = episodes({2: True})
    columns = train_columns([one])
    assert columns[Columns.LOSS_MASK].tolist() == [True, True, False]
    assert columns[Columns.TERMINATEDS].tolist() == [False, True, False]
    assert columns[Columns.TRUNCATEDS].tolist() == [False, False, False]
    assert columns[Columns.REWARDS][-1] == 0.0
    assert train_observations([one], torch.device("cpu")).shape == (3, 4, 44, 44)
