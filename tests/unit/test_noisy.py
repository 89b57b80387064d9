"""Noisy linear layers against the paper's equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rlsweep.rl.noisy import NoisyLinear, is_of_noise, make_noisy, use_noise

INPUTS, OUTPUTS = 5, 3
GENERATOR = torch.Generator().manual_seed(0)


@pytest.fixture
def layer() -> NoisyLinear:
    torch.manual_seed(0)
    return NoisyLinear(nn.Linear(INPUTS, OUTPUTS), sigma0=0.5)


def test_without_noise_it_is_the_layer_that_it_was_made_of() -> None:
    linear = nn.Linear(INPUTS, OUTPUTS)
    x = torch.randn(4, INPUTS)
    torch.testing.assert_close(NoisyLinear(linear, 0.5)(x), linear(x))


def test_the_noise_is_factorised_and_of_the_size_that_the_paper_starts_with(layer: NoisyLinear) -> None:
    assert torch.all(layer.weight_sigma == 0.5 / math.sqrt(INPUTS))
    changes = []
    for _ in range(4000):
        layer.use_noise(GENERATOR)
        with torch.no_grad():
            bias = layer(torch.zeros(1, INPUTS))[0] - layer.bias
            weight = layer(torch.eye(INPUTS)).T - layer.bias[:, None] - bias[:, None] - layer.weight
        singular = torch.linalg.svdvals(weight)
        assert float(singular[1]) < 1e-5, "an outer product"
        changes.append(weight)
    noise = torch.stack(changes) / layer.weight_sigma.detach()
    # f(x) f(y) with f(x) = sgn(x) sqrt(|x|): mean 0, and E|x| E|y| = 2 / pi for its square
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(noise.square().mean()) == pytest.approx(2 / math.pi, rel=0.05)


def test_noise_stays_until_new_noise_is_drawn(layer: NoisyLinear) -> None:
    x = torch.randn(2, INPUTS)
    layer.use_noise(GENERATOR)
    first, again = layer(x), layer(x)
    layer.use_noise(GENERATOR)
    assert torch.equal(first, again)
    assert not torch.equal(first, layer(x))


def test_the_sizes_of_the_noise_are_learned(layer: NoisyLinear) -> None:
    layer.use_noise(GENERATOR)
    layer(torch.randn(2, INPUTS)).sum().backward()  # type: ignore[no-untyped-call]
    assert layer.weight_sigma.grad is not None
    assert float(layer.weight_sigma.grad.abs().sum()) > 0


def test_every_linear_layer_of_a_network_is_replaced() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 2)))
    names = [name for name, _ in network.named_parameters()]
    make_noisy(network, 0.5)
    make_noisy(network, 0.5)
    assert [name for name, _ in network.named_parameters() if not is_of_noise(name)] == names
    assert sum(is_of_noise(name) for name, _ in network.named_parameters()) == 4
    x = torch.randn(3, 4)
    means = network(x)
    use_noise(network, GENERATOR)
    assert not torch.equal(network(x), means)
    use_noise(network, None)
    assert torch.equal(network(x), means)
