"""What the scores of some whole games say of a policy, or of two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.statistics import Interval, mean_difference, mean_interval
from rlsweep.spec.human_scores import human_normalized_or_nan


@dataclass(frozen=True)
class Summary:
    """What some games say of a policy.

    Attributes:
        games: how many.
        mean: with the bounds of Student's 95 % interval over games; NaN for one game.
        std: the sample's (n - 1), 0 for one game.
        median: of the scores.
        human_normalized: the mean on the scale where a human has 1; NaN where that is not known.
    """

    games: int
    mean: Interval
    std: float
    median: float
    human_normalized: float

    def __str__(self) -> str:
        text = f"mean {self.mean.value:.2f} ± {self.std:.2f} over {self.games} games"
        if math.isfinite(self.mean.low):
            text += f", 95 % interval {self.mean.low:.2f} to {self.mean.high:.2f}"
        text += f", median {self.median:g}"
        if math.isfinite(self.human_normalized):
            text += f"; human-normalised {self.human_normalized:.2f}"
        return text


def summarize(scores: Sequence[float], env_id: str) -> Summary:
    """Of the scores of at least one whole game of an environment."""
    values = np.array(scores, dtype=float)
    return Summary(
        len(values),
        mean_interval(values[:, None]),
        float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        float(np.median(values)),
        human_normalized_or_nan(env_id, float(values.mean())),
    )


def difference(first: Sequence[float], second: Sequence[float]) -> str:
    """How far the mean of some games lies above that of others, in words."""
    found = mean_difference(np.array(first, dtype=float), np.array(second, dtype=float))
    if not math.isfinite(found.low):
        return f"{found.value:+.2f}; one game says nothing of the difference"
    told = "which is more than luck" if 0.0 not in found else "which may be luck"
    return f"{found.value:+.2f}, 95 % interval {found.low:+.2f} to {found.high:+.2f}: {told}"
