"""Films of games: a picture of each, with its score above it, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import imageio.v2 as imageio
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rlsweep.errors import UsageError

GIF = ".gif"
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", GIF)

LEAST_HEIGHT = 400
"""Pixels; smaller pictures, as the 210 of an Atari screen, are enlarged a whole number of times."""

CAPTION_HEIGHT = 22
FONT_SIZE = 14
GAP = 4
"""Pixels."""

_CAPTION = (235, 235, 235)
_BACKGROUND = 24


@dataclass(frozen=True)
class Panel:
    """One game in a film.

    Attributes:
        picture: (height, width, 3), uint8.
        caption: above it.
    """

    picture: np.ndarray
    caption: str


class Film:
    """A video file that is written picture by picture; to be used in a `with` statement.

    Args:
        path: its suffix is one of VIDEO_SUFFIXES.
        frames_per_second: of the film.

    Raises:
        UsageError: another suffix.
    """

    def __init__(self, path: Path, frames_per_second: float) -> None:
        if path.suffix not in VIDEO_SUFFIXES:
            allowed = ", ".join(VIDEO_SUFFIXES)
            raise UsageError(f"{path}: no video format {path.suffix!r}; allowed: {allowed}")
        path.parent.mkdir(parents=True, exist_ok=True)
        # H.264 in yuv420p takes even widths and heights; `mosaic` sees to that, so no block is scaled.
        settings: dict[str, Any] = {"fps": frames_per_second, "macro_block_size": 2}
        if path.suffix == GIF:
            settings = {"duration": 1000 / frames_per_second, "loop": 0}
        self._writer: Any = imageio.get_writer(path, **settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def add(self, groups: Sequence[Sequence[Panel]]) -> None:
        """Add a picture: the panels of each group in a grid, the groups side by side."""
        blocks = [mosaic(group) for group in groups]
        height = max(len(block) for block in blocks)
        gap = np.full((height, 4 * GAP, 3), _BACKGROUND, np.uint8)
        parts = [part for block in blocks for part in (_padded(block, height), gap)]
        self._writer.append_data(np.concatenate(parts[:-1], axis=1))


def mosaic(panels: Sequence[Panel]) -> np.ndarray:
    """(height, width, 3), uint8, both even: panels of one size in a grid that is nearly square."""
    columns = math.ceil(math.sqrt(len(panels)))
    drawn = [_captioned(panel) for panel in panels]
    blank = np.full_like(drawn[0], _BACKGROUND)
    drawn += [blank] * (-len(drawn) % columns)
    rows = [np.concatenate(drawn[first : first + columns], axis=1) for first in range(0, len(drawn), columns)]
    picture = np.concatenate(rows, axis=0)
    height, width, _ = picture.shape
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _captioned(panel: Panel) -> np.ndarray:
    times = max(1, math.ceil(LEAST_HEIGHT / len(panel.picture)))
    picture = panel.picture.repeat(times, axis=0).repeat(times, axis=1)
    bar = Image.new("RGB", (picture.shape[1], CAPTION_HEIGHT), (_BACKGROUND,) * 3)
    font = ImageFont.load_default(size=FONT_SIZE)
    ImageDraw.Draw(bar).text((GAP, GAP / 2), panel.caption, fill=_CAPTION, font=font)
    framed = np.concatenate([np.asarray(bar), picture], axis=0)
    return np.pad(framed, ((0, GAP), (0, GAP), (0, 0)), constant_values=_BACKGROUND)


def _padded(block: np.ndarray, height: int) -> np.ndarray:
    return np.pad(block, ((0, height - len(block)), (0, 0), (0, 0)), constant_values=_BACKGROUND)
