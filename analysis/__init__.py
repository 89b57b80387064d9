"""What came out of sweeps, read from their histories; needs neither ray nor torch.

In a notebook: `analysis.load("breakout_lr").configs` (docs/cookbook/notebooks.md).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.frames import SweepFrames, load

__all__ = ["SweepFrames", "load"]


def __getattr__(name: str) -> Any:
    """Import the tables when they are asked for: whoever only reads rows waits for no plotting library."""
    if name in __all__:
        from analysis import frames

        return getattr(frames, name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
