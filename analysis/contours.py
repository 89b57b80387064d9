"""The objective over two swept parameters at a time: what a contour plot draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import QhullError

from analysis.comparison import ConfigurationResult
from analysis.parameters import SweptParameter

MAX_CONTOURS = 3
MIN_POINTS = 6
"""Different pairs of values; fewer give a few triangles that show nothing."""

GRID_POINTS = 120


@dataclass(frozen=True)
class Contour:
    """Results over a pair of parameters.

    Attributes:
        x, y: the parameters.
        configurations: those that have both and a result, the best first.
        grid_x, grid_y: (GRID_POINTS,) each, even on the parameter's own scale.
        values: (GRID_POINTS of y, GRID_POINTS of x), linear between the configurations (Delaunay
            triangulation); NaN outside of their convex hull.
    """

    x: SweptParameter
    y: SweptParameter
    configurations: list[ConfigurationResult]
    grid_x: np.ndarray
    grid_y: np.ndarray
    values: np.ndarray


def contours(
    ranked: Sequence[ConfigurationResult],
    parameters: Sequence[SweptParameter],
    shares: Mapping[str, float],
) -> list[Contour]:
    """Of at most MAX_CONTOURS pairs of numeric parameters, the most important ones first.

    Args:
        ranked: configurations, the best first.
        parameters: swept ones; those with a value that is no number are left out.
        shares: path -> how much of the variance it explains; a pair counts what both do. Empty where that is
            not known: the first ones are taken.
    """
    numeric = [one for one in parameters if one.is_numeric]
    pairs = sorted(combinations(numeric, 2), key=lambda pair: -sum(shares.get(one.path, 0) for one in pair))
    found = (contour(ranked, x, y) for x, y in pairs)
    return list(islice(filter(None, found), MAX_CONTOURS))


def contour(ranked: Sequence[ConfigurationResult], x: SweptParameter, y: SweptParameter) -> Contour | None:
    """One pair; None with fewer than MIN_POINTS different points, or where they lie on a line.

    Results of configurations that share both values are averaged.
    """
    shown = [
        one
        for one in ranked
        if one.config_id in x.values and one.config_id in y.values and math.isfinite(one.value)
    ]
    scaled = np.stack([_scaled(parameter, shown) for parameter in (x, y)], axis=1)
    points, places = np.unique(scaled, axis=0, return_inverse=True)
    if len(points) < MIN_POINTS or min(np.ptp(points, axis=0)) == 0:
        return None
    results = np.array([one.value for one in shown])
    means = np.bincount(places.ravel(), weights=results) / np.bincount(places.ravel())
    low, high = points.min(axis=0), points.max(axis=0)
    try:
        between = LinearNDInterpolator((points - low) / (high - low), means)
    except QhullError:
        return None
    unit = np.linspace(0, 1, GRID_POINTS)
    axes = [
        _unscaled(parameter, low[index] + unit * (high[index] - low[index]))
        for index, parameter in enumerate((x, y))
    ]
    return Contour(x, y, shown, axes[0], axes[1], between(*np.meshgrid(unit, unit)).astype(np.float32))


def _scaled(parameter: SweptParameter, configurations: Sequence[ConfigurationResult]) -> np.ndarray:
    """(configurations,) on the parameter's own scale."""
    values = np.array([parameter.values[one.config_id] for one in configurations], dtype=float)
    return np.log10(values) if parameter.is_log else values


def _unscaled(parameter: SweptParameter, values: np.ndarray) -> np.ndarray:
    return np.asarray(10**values) if parameter.is_log else values
