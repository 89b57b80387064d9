"""Torsos and heads as plain torch modules: the same objects train inside RLlib and play from a bundle.

Images come in as uint8, (C, H, W), (C, H, W, 3) or (H, W, C), and become numbers in the first layer, on the
device they are on; everything else is float. Sources stand with each network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from rlsweep.rl.cores import in_parts, parts_of
from rlsweep.rl.pixels import WHITE, CentredPixels, Images, PixelConv2d
from rlsweep.rl.precision import compute_dtype
from rlsweep.spec.network import CnnSpec, ImpalaResnetSpec, MlpSpec, NatureCnnSpec, NetworkSpec, Precision

RELU_GAIN = math.sqrt(2)
"""Gain of orthogonal initialisation before a ReLU (Saxe et al. 2013; Huang et al. 2022, detail 2)."""

VECTOR_DIMENSIONS = 2
"""Of a batch of vectors (B, size); one of images has more."""

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU}


def orthogonal(layer: nn.Module, gain: float) -> nn.Module:
    """Orthogonal weights and zero bias, in place (Huang et al. 2022, detail 2)."""
    nn.init.orthogonal_(layer.weight, gain)  # type: ignore[arg-type]
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class Torso(nn.Module):
    """Observations -> features.

    Attributes:
        layers: (B, *observation shape) -> (B, output_size).
        output_size: number of features.
        precision: what the layers compute in; weights, gradients and features are float32.
    """

    layers: nn.Sequential
    output_size: int
    precision: Precision = "fp32"

    def forward(self, observations: Tensor) -> Tensor:
        """(B, *shape) -> (B, output_size) in float32, whatever the layers compute in."""
        parts = parts_of(observations) if observations.dim() > VECTOR_DIMENSIONS else 1
        if parts > 1:
            return in_parts(self.layers, self._features, observations, parts)
        return self._features(observations)

    def _features(self, observations: Tensor) -> Tensor:
        dtype = compute_dtype(self.precision, observations.device)
        if dtype == torch.float32:
            return self.layers(observations)  # type: ignore[no-any-return]
        with torch.autocast(observations.device.type, dtype=dtype):
            features: Tensor = self.layers(observations)
        return features.float()


class NatureCnn(Torso):
    """Mnih et al. 2015, Methods: 32 8x8/4, 64 4x4/2, 64 3x3/1, 512 features, ReLU.

    Orthogonal initialisation with gain sqrt(2), as OpenAI Baselines and CleanRL train it with PPO.
    """

    def __init__(self, shape: Sequence[int], spec: NatureCnnSpec) -> None:
        super().__init__()
        images = Images(shape)
        convolutions = channels_last(
            orthogonal(PixelConv2d(images.output_shape[0], 32, 8, 4), RELU_GAIN),
            nn.ReLU(),
            orthogonal(nn.Conv2d(32, 64, 4, 2), RELU_GAIN),
            nn.ReLU(),
            orthogonal(nn.Conv2d(64, 64, 3, 1), RELU_GAIN),
            nn.ReLU(),
            nn.Flatten(),
        )
        size = _output_size(convolutions, images.output_shape)
        self.layers = nn.Sequential(
            images, convolutions, orthogonal(nn.Linear(size, 512), RELU_GAIN), nn.ReLU()
        )
        self.output_size = 512


class ImpalaResnet(Torso):
    """Espeholt et al. 2018, figure 3 (right): a convolution, a 3x3/2 max-pool and two residual blocks
    for each channel count, then 256 features, ReLU."""

    def __init__(self, shape: Sequence[int], spec: ImpalaResnetSpec) -> None:
        super().__init__()
        images = Images(shape)
        sections: list[nn.Module] = []
        channels = images.output_shape[0]
        for index, width in enumerate(spec.channels):
            convolution = nn.Conv2d if index else PixelConv2d
            sections += [
                convolution(channels, width, 3, padding=1),
                nn.MaxPool2d(3, stride=2, padding=1),
                _ResidualBlock(width),
                _ResidualBlock(width),
            ]
            channels = width
        convolutions = channels_last(*sections, nn.ReLU(), nn.Flatten())
        size = _output_size(convolutions, images.output_shape)
        self.layers = nn.Sequential(images, convolutions, nn.Linear(size, 256), nn.ReLU())
        self.output_size = 256


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return images + self.layers(images)  # type: ignore[no-any-return]


class Cnn(Torso):
    """RLlib's default CNN encoder: convolutions padded to `ceil(size / stride)`, flattened, no dense layer.

    Frames scaled to [-1, 1] before they are padded, and torch's default initialisation, as there.
    """

    def __init__(self, shape: Sequence[int], spec: CnnSpec) -> None:
        super().__init__()
        images = Images(shape)
        channels, height, width = images.output_shape
        layers: list[nn.Module] = []
        for out_channels, kernel, stride in spec.conv_filters:
            layers.append(_same_padding(height, width, kernel, stride))
            layers.append(nn.Conv2d(channels, out_channels, kernel, stride))
            layers.append(ACTIVATIONS[spec.conv_activation]())
            channels, height, width = out_channels, -(-height // stride), -(-width // stride)
        convolutions = channels_last(*layers, nn.Flatten())
        self.layers = nn.Sequential(nn.Sequential(images, CentredPixels()), convolutions)
        self.output_size = channels * height * width


class Mlp(Torso):
    """Dense layers on flattened observations, orthogonal initialisation (Huang et al. 2022, detail 2)."""

    def __init__(self, shape: Sequence[int], spec: MlpSpec) -> None:
        super().__init__()
        sizes = [math.prod(shape), *spec.fcnet_hiddens]
        self.layers = dense(sizes, spec.fcnet_activation)
        self.output_size = sizes[-1]

    def forward(self, observations: Tensor) -> Tensor:
        flat = observations.flatten(1).to(torch.float32)
        return super().forward(flat / WHITE if observations.dtype == torch.uint8 else flat)


def channels_last(*layers: nn.Module) -> nn.Sequential:
    """Layers whose weights lie in memory channels last, the layout that CPU and GPU kernels prefer."""
    stack = nn.Sequential(*layers)
    stack.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return stack


def dense(sizes: Sequence[int], activation: str) -> nn.Sequential:
    """Linear layers of the given sizes, each followed by the activation."""
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes):
        layers += [orthogonal(nn.Linear(size_in, size_out), RELU_GAIN), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


def make_torso(spec: NetworkSpec, shape: Sequence[int]) -> Torso:
    """The torso that `network:` names.

    Args:
        spec: which network, and the precision it computes in.
        shape: of one observation.

    Raises:
        ValueError: the network cannot take observations of that shape.
    """
    try:
        torso = _build_torso(spec, shape)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"network {spec.name}: no observations of shape {tuple(shape)}: {error}") from None
    torso.precision = spec.precision
    return torso


def make_head(spec: NetworkSpec, size_in: int, size_out: int, gain: float) -> nn.Module:
    """A head behind the torso of `spec`: a linear layer with orthogonal weights of the given gain.

    RLlib's default network (`cnn`) has hidden layers there, and torch's initialisation throughout.
    """
    if not isinstance(spec, CnnSpec):
        return orthogonal(nn.Linear(size_in, size_out), gain)
    layers: list[nn.Module] = []
    for width in spec.head_fcnet_hiddens:
        layers += [nn.Linear(size_in, width), ACTIVATIONS[spec.head_fcnet_activation]()]
        size_in = width
    return nn.Sequential(*layers, nn.Linear(size_in, size_out))


def _build_torso(spec: NetworkSpec, shape: Sequence[int]) -> Torso:
    match spec:
        case NatureCnnSpec():
            return NatureCnn(shape, spec)
        case ImpalaResnetSpec():
            return ImpalaResnet(shape, spec)
        case CnnSpec():
            return Cnn(shape, spec)
        case MlpSpec():
            return Mlp(shape, spec)


def _output_size(layers: nn.Module, shape: Sequence[int]) -> int:
    with torch.no_grad():
        return int(layers(torch.zeros(1, *shape)).shape[1])


def _same_padding(height: int, width: int, kernel: int, stride: int) -> nn.ZeroPad2d:
    """TensorFlow's "same" padding, which RLlib keeps: the odd pixel goes right and below."""
    left, right = _pads(width, kernel, stride)
    top, bottom = _pads(height, kernel, stride)
    return nn.ZeroPad2d((left, right, top, bottom))


def _pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
