from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from ray.rllib.core.models.configs import CNNEncoderConfig

from rlsweep.rl import precision
from rlsweep.rl.networks import make_torso
from rlsweep.rl.pixels import Images, PixelConv2d
from rlsweep.rl.policies import EVALUATION_EPSILON, ActorCritic, QNetwork, unsquash
from rlsweep.spec import NetworkSpec

ATARI = (4, 84, 84)
ACTIONS = gymnasium.spaces.Discrete(4)
REFERENCE = {"name": "cnn", "conv_filters": [[16, 4, 2], [32, 4, 2], [64, 4, 2], [128, 4, 2]]}


def network(**settings: object) -> NetworkSpec:
    return TypeAdapter(NetworkSpec).validate_python(settings)  # type: ignore[no-any-return]


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("spec", "shape", "features", "parameters"),
    [
        # 4*32*64+32 + 32*64*16+64 + 64*64*9+64 + 3136*512+512
        (network(name="nature_cnn"), ATARI, 512, 1_684_128),
        (network(name="impala_resnet"), ATARI, 256, 97_744 + 32 * 11 * 11 * 256 + 256),
        # 4*16*16+16 + 16*32*16+32 + 32*64*16+64 + 64*128*16+128
        (network(**REFERENCE), (64, 64, 4), 128 * 4 * 4, 173_296),
        (network(name="mlp", fcnet_hiddens=[64, 64]), (4,), 64, 4 * 64 + 64 + 64 * 64 + 64),
    ],
)
def test_size_of_each_network(
    spec: NetworkSpec, shape: tuple[int, ...], features: int, parameters: int
) -> None:
    torso = make_torso(spec, shape)
    assert torso.output_size == features
    assert torso(torch.zeros(2, *shape, dtype=torch.uint8)).shape == (2, features)
    assert count(torso) == parameters


@pytest.mark.parametrize("shape", [(4, 84, 84), (84, 84, 4), (4, 84, 84, 3)])
def test_images_of_each_layout_become_channels_first(shape: tuple[int, ...]) -> None:
    images = Images(shape)
    batch = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8))
    arranged = images(batch)
    assert arranged.shape == (2, *images.output_shape)
    assert arranged.dtype == torch.uint8
    if len(shape) == 4:
        assert arranged[1, 2 * 3 + 1, 5, 7] == batch[1, 2, 5, 7, 1]
    else:
        assert arranged[1, 2, 5, 7] == (batch[1, 5, 7, 2] if shape[0] == 84 else batch[1, 2, 5, 7])


@pytest.mark.parametrize(
    ("channels", "size", "kernel", "stride", "padding"),
    [
        (4, 84, 8, 4, 0),
        (12, 42, 8, 4, 0),
        (3, 30, 4, 2, 0),
        (4, 36, 6, 3, 0),
        (4, 20, 3, 1, 1),
        (1, 23, 5, 2, 0),
    ],
)
def test_the_first_convolution_on_bytes_is_the_one_on_scaled_pixels(
    channels: int, size: int, kernel: int, stride: int, padding: int
) -> None:
    """Space to depth or not: features and gradients of an ordinary convolution on x / 255."""
    ours = PixelConv2d(channels, 8, kernel, stride, padding)
    plain = torch.nn.Conv2d(channels, 8, kernel, stride, padding)
    plain.load_state_dict(ours.state_dict())
    pixels = torch.randint(0, 256, (3, channels, size, size + 5), dtype=torch.uint8)
    expected, got = plain(pixels.float() / 255.0), ours(pixels)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    expected.square().sum().backward()
    got.square().sum().backward()
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", ["nature_cnn", "impala_resnet"])
def test_bf16_is_close_to_fp32_and_gives_float32(name: str) -> None:
    torch.manual_seed(0)
    exact = ActorCritic(network(name=name, precision="fp32"), ATARI, ACTIONS)
    rough = ActorCritic(network(name=name, precision="bf16"), ATARI, ACTIONS)
    rough.load_state_dict(exact.state_dict())
    frames = torch.randint(0, 256, (64, *ATARI), dtype=torch.uint8)
    features, approximate = exact.features(frames), rough.features(frames)
    assert approximate.dtype == torch.float32
    error = (approximate - features).norm() / features.norm()
    assert 0 < error < 2e-2
    gradients = []
    for net, values in ((exact, features), (rough, approximate)):
        (net.values(values).square().mean() + net.policy_head(values).square().mean()).backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in net.parameters()]))
    assert gradients[1].dtype == torch.float32
    assert (gradients[1] - gradients[0]).norm() / gradients[0].norm() < 2e-2


def test_auto_is_bf16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for flags, dtype in (({"avx512f", "avx512_bf16"}, torch.bfloat16), ({"avx2"}, torch.float32)):
        monkeypatch.setattr(precision, "_cpu_flags", lambda flags=flags: flags)
        precision.has_bf16.cache_clear()
        assert precision.compute_dtype("auto", cpu) == dtype
        assert precision.compute_dtype("fp32", cpu) == torch.float32
        assert precision.compute_dtype("bf16", cpu) == torch.bfloat16
    precision.has_bf16.cache_clear()


def test_the_reference_convolutions_are_rllibs_own() -> None:
    """Same weights, same frames: the same features as RLlib's CNN encoder, padding included."""
    filters = [[out, kernel, stride] for out, kernel, stride in REFERENCE["conv_filters"]]  # type: ignore[misc]
    theirs = CNNEncoderConfig(
        input_dims=[64, 64, 4], cnn_filter_specifiers=filters, cnn_activation="relu"
    ).build(framework="torch")
    ours = make_torso(network(**REFERENCE, precision="fp32"), (64, 64, 4))
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.copy_(other)
    frames = torch.randint(0, 256, (3, 64, 64, 4), dtype=torch.uint8)
    scaled = frames.to(torch.float32) / 128.0 - 1.0  # RLlib's wrapper scales outside of the network
    expected = theirs({"obs": scaled})["encoder_out"].reshape(3, 4, 4, 128)
    got = ours(frames).reshape(3, 128, 4, 4).permute(0, 2, 3, 1)  # RLlib flattens channels last
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_initialisation_is_orthogonal_with_a_small_policy() -> None:
    torch.manual_seed(0)
    policy = ActorCritic(network(name="nature_cnn"), ATARI, ACTIONS)
    weights = policy.torso.layers[2].weight
    gram = weights @ weights.T
    torch.testing.assert_close(gram, 2.0 * torch.eye(512), atol=1e-4, rtol=0)
    chances = policy.decide(torch.randint(0, 256, (8, *ATARI), dtype=torch.uint8)).softmax(-1)
    torch.testing.assert_close(chances, torch.full_like(chances, 0.25), atol=0.02, rtol=0)


def test_a_network_refuses_observations_that_it_cannot_take() -> None:
    with pytest.raises(ValueError, match=r"nature_cnn: no observations of shape \(4,\)"):
        make_torso(network(name="nature_cnn"), (4,))
    with pytest.raises(ValueError, match="nature_cnn"):
        make_torso(network(name="nature_cnn"), (4, 20, 20))


@pytest.mark.parametrize("shared", [True, False])
def test_the_critic_shares_the_torso_or_has_its_own(shared: bool) -> None:
    spec = network(name="mlp", vf_share_layers=shared)
    whole = ActorCritic(spec, (4,), ACTIONS)
    policy = ActorCritic(spec, (4,), ACTIONS, with_critic=False)
    observations = torch.randn(5, 4)
    features = whole.features(observations)
    critic = whole.critic_features(observations, features)
    assert (critic is features) == shared
    assert whole.values(critic).shape == (5,)
    assert set(policy.state_dict()) < set(whole.state_dict())


def test_dueling_subtracts_the_mean_advantage() -> None:
    q = QNetwork(network(name="mlp"), (4,), ACTIONS, dueling=True)
    observations = torch.randn(6, 4)
    values = q.value_head(q.torso(observations))
    torch.testing.assert_close(q.decide(observations).mean(-1, keepdim=True), values)


def test_distributional_q_values_lie_in_the_support() -> None:
    q = QNetwork(network(name="mlp"), (4,), ACTIONS, num_atoms=51, v_min=-2.0, v_max=3.0)
    values = q.decide(torch.randn(6, 4))
    assert values.shape == (6, 4)
    assert bool(((values > -2) & (values < 3)).all())


def test_acting_greedily_and_by_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    policy = ActorCritic(network(name="mlp"), (4,), ACTIONS)
    observations = torch.randn(1, 4).expand(4000, 4)
    greedy = policy.act(observations, greedy=True, generator=generator)
    assert set(greedy) == {int(policy.decide(observations[:1]).argmax())}
    with torch.no_grad():
        sampled = policy.act(observations, greedy=False, generator=generator)
        chances = policy.decide(observations[:1]).softmax(-1)[0].numpy()
    shares = np.bincount(sampled, minlength=4) / len(sampled)
    np.testing.assert_allclose(shares, chances, atol=0.04)
    q = QNetwork(network(name="mlp"), (4,), ACTIONS)
    best = int(q.decide(observations[:1]).argmax())
    explored = np.mean(q.act(observations, greedy=False, generator=generator) != best)
    assert explored == pytest.approx(EVALUATION_EPSILON * 3 / 4, abs=0.015)


def test_continuous_actions_are_unsquashed_as_rllib_does() -> None:
    from ray.rllib.utils.spaces.space_utils import clip_action, unsquash_action

    low, high = np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32)
    space = gymnasium.spaces.Box(low, high)
    actions = np.array([[-3.0, -1.0], [0.0, 0.5], [1.0, 4.0]], dtype=np.float32)
    expected = np.stack([clip_action(unsquash_action(a, space), space) for a in actions])
    np.testing.assert_allclose(unsquash(actions, space), expected, rtol=1e-6)
