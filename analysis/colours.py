"""Colours of every figure, interactive or printed: the same configuration looks the same in both."""

from __future__ import annotations

from analysis.history import REACHED
from rlsweep.store.manifest import DIVERGED, FAILED, FINISHED, INTERRUPTED, RUNNING, STOPPED

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999999", "#B8A900")
"""Okabe and Ito 2008: told apart by the colour-blind too; their yellow darker, for a white page."""

MEAN_COLOUR = PALETTE[0]
SEED_COLOUR = PALETTE[5]
"""Of a configuration over its seeds, and of a single seed."""

STATUS_COLOURS = {
    FINISHED: "#009E73",
    STOPPED: "#E69F00",
    RUNNING: "#56B4E9",
    INTERRUPTED: "#999999",
    FAILED: "#D55E00",
    DIVERGED: "#CC79A7",
    REACHED: "#0072B2",
}


def faint(colour: str, alpha: float) -> str:
    """`#0072B2` as `rgba(0,114,178,alpha)`."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
