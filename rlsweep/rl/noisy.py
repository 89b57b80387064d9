"""Noisy networks: exploration by noise in the weights, whose size is learned (Fortunato et al. 2018)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class NoisyLinear(nn.Linear):
    """A linear layer y = (w + s_w * e_w) x + b + s_b * e_b, with factorised Gaussian noise (section 3, b).

    `weight` and `bias` are the means, `weight_sigma` and `bias_sigma` the learned sizes of the noise. Without
    noise (`use_noise(None)`, the start) it is the linear layer of the means.

    Args:
        linear: gives sizes, device and the means' first values.
        sigma0: the noise starts at sigma0 / sqrt(inputs); the paper takes 0.5.
    """

    def __init__(self, linear: nn.Linear, sigma0: float) -> None:
        super().__init__(linear.in_features, linear.out_features, device=linear.weight.device)
        self.load_state_dict(linear.state_dict())
        sigma = sigma0 / math.sqrt(self.in_features)
        self.weight_sigma = nn.Parameter(torch.full_like(self.weight, sigma))
        self.bias_sigma = nn.Parameter(torch.full_like(self.bias, sigma))
        self._noise: tuple[Tensor, Tensor] | None = None

    def use_noise(self, generator: torch.Generator | None) -> None:
        """Draw new noise for the passes from now on, or take the means alone where nothing draws it."""
        if generator is None:
            self._noise = None
            return
        inputs = torch.randn(self.in_features, generator=generator).to(self.weight.device)
        outputs = torch.randn(self.out_features, generator=generator).to(self.weight.device)
        self._noise = _scaled(inputs), _scaled(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs)."""
        if self._noise is None:
            return super().forward(x)
        inputs, outputs = self._noise
        weight = self.weight + self.weight_sigma * torch.outer(outputs, inputs)
        return functional.linear(x, weight, self.bias + self.bias_sigma * outputs)


def make_noisy(network: nn.Module, sigma0: float) -> None:
    """Put a NoisyLinear in the place of each linear layer of a network, as in NoisyNet-DQN."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, NoisyLinear(child, sigma0))


def use_noise(network: nn.Module, generator: torch.Generator | None) -> None:
    """New noise in every noisy layer of a network, drawn on the CPU; None for none."""
    for layer in network.modules():
        if isinstance(layer, NoisyLinear):
            layer.use_noise(generator)


def is_of_noise(name: str) -> bool:
    """Whether a parameter's name is that of a noise's size; a policy that plays without noise has none."""
    return name.endswith(("weight_sigma", "bias_sigma"))


def _scaled(noise: Tensor) -> Tensor:
    """f(x) = sgn(x) sqrt(|x|), equation 10's."""
    return noise.sign() * noise.abs().sqrt()
