"""uint8 frames on their way into the first convolution.

Frames stay bytes until the layer that computes with them, on the device it computes on. Every number from
0 to 255 is exact in bfloat16, so the scaling to [0, 1] goes into the weights and not over the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

WHITE = 255.0
BYTES_PER_WORD = 4


class Images(nn.Module):
    """Image batches of any layout -> (B, C, H, W) of the same type.

    Args:
        shape: of one observation: (C, H, W); (C, H, W, 3), whose colours become channels; or (H, W, C).
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        if len(shape) not in (3, 4):
            raise ValueError(f"an image observation has 3 or 4 dimensions, not {tuple(shape)}")
        self.channels_last = len(shape) == 3 and shape[2] < shape[0]
        height_width = shape[:2] if self.channels_last else shape[1:3]
        channels = math.prod(shape) // math.prod(height_width)
        self.output_shape = (channels, *height_width)

    def forward(self, observations: Tensor) -> Tensor:
        if observations.dim() == 5:
            return observations.permute(0, 1, 4, 2, 3).flatten(1, 2)
        return observations.permute(0, 3, 1, 2) if self.channels_last else observations


class CentredPixels(nn.Module):
    """uint8 -> float in [-1, 1], the scaling (x / 128) - 1 of RLlib's own Atari wrapper."""

    def forward(self, images: Tensor) -> Tensor:
        floats = images.to(torch.float32, memory_format=torch.channels_last)
        return floats / 128.0 - 1.0 if images.dtype == torch.uint8 else floats


class PixelConv2d(nn.Conv2d):
    """The first convolution of a network: takes uint8 images as values in [0, 1], floats as they are.

    A kernel that is m strides wide is, on blocks of stride x stride pixels laid out as channels ("space to
    depth"), a kernel of m x m blocks with stride 1: the same products in another order. Matrix units are
    made for 64 channels and not for 4; forward and backward together take half the time (the Nature CNN's
    8x8/4 on four frames). The weights keep the shape of an ordinary convolution.
    """

    def forward(self, images: Tensor) -> Tensor:
        if images.dtype != torch.uint8:
            return super().forward(images.contiguous(memory_format=torch.channels_last))
        weight, stride = self.weight / WHITE, self.stride[0]
        dtype = weight.dtype
        if torch.is_autocast_enabled(images.device.type):
            dtype = torch.get_autocast_dtype(images.device.type)
        if not self._takes_blocks():
            pixels = images.to(dtype, memory_format=torch.channels_last)
            return functional.conv2d(pixels, weight, self.bias, self.stride, self.padding)
        blocks = space_to_depth(images, stride).to(dtype)
        return functional.conv2d(blocks, _block_weights(weight, stride), self.bias)

    def _takes_blocks(self) -> bool:
        stride, padding = self.stride[0], self.padding[0]
        return stride > 1 and padding == 0 and self.kernel_size[0] % stride == 0


def space_to_depth(images: Tensor, size: int) -> Tensor:
    """(B, C, H, W) uint8 -> (B, C * size * size, H // size, W // size), channels innermost in memory.

    Rows and columns that fill no block are cut off.
    """
    batch, channels, height, width = images.shape
    rows, columns = height // size, width // size
    images = images[:, :, : rows * size, : columns * size].contiguous()
    if size == BYTES_PER_WORD:  # four pixels of a row move as one word
        words = images.view(torch.int32).view(batch, channels, rows, size, columns)
        blocks = words.permute(0, 2, 4, 1, 3).contiguous().view(torch.uint8)
    else:
        pixels = images.view(batch, channels, rows, size, columns, size)
        blocks = pixels.permute(0, 2, 4, 1, 3, 5).contiguous()
    return blocks.view(batch, rows, columns, channels * size * size).permute(0, 3, 1, 2)


def _block_weights(weight: Tensor, size: int) -> Tensor:
    """(out, C, k, k) -> (out, C * size * size, k / size, k / size), channels in the order of the blocks."""
    out, channels, kernel, _ = weight.shape
    blocks = kernel // size
    split = weight.view(out, channels, blocks, size, blocks, size)
    return split.permute(0, 1, 3, 5, 2, 4).reshape(out, channels * size * size, blocks, blocks)
