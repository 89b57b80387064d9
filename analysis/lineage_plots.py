"""Interactive figures of a population (PBT, PB2), for the HTML report: exploits, and values over env steps.

Colours of text, grid and background are left to the page, which has a dark and a light one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from analysis.colours import PALETTE, faint
from analysis.history import TrialHistory
from analysis.lineage import Exploit, Stretch, first_row_after, stretches
from analysis.parameter_plots import axis, axis_value
from analysis.parameters import SweptParameter
from analysis.trial_results import is_valid
from rlsweep.store.rows import ENV_STEPS

MAX_MEMBERS = 16
"""More lines and arrows in one figure cannot be told apart."""

_DASHES = ("solid", "dash", "dot")

Points = tuple[np.ndarray, np.ndarray]
"""Env steps (points,) and values (points,)."""


def exploits_plot(
    members: Sequence[TrialHistory], names: Mapping[str, str], exploits: Sequence[Exploit], key: str
) -> go.Figure:
    """A line per member over env steps, broken where it took over weights, with an arrow from the donor.

    A row in which the key does not count yet is left out.

    Args:
        members: the best first.
        names: trial id -> what a reader knows it by.
        exploits: of these members; one whose donor is not drawn has no arrow.
        key: row key on the y-axis.
    """
    figure = go.Figure()
    known = {one.record.id: _points(one, key) for one in members}
    for index, member in enumerate(members):
        own = [one for one in exploits if one.trial_id == member.record.id]
        env_steps, values = _broken_line(member, own, known)
        figure.add_scatter(
            x=env_steps,
            y=values,
            mode="lines",
            line=_line(index),
            name=names[member.record.id],
            connectgaps=False,
        )
    places = {member.record.id: index for index, member in enumerate(members)}
    arrows = [
        (one, _arrow(one, members, known)) for one in exploits if {one.trial_id, one.donor} <= set(places)
    ]
    drawn = [(one, ends) for one, ends in arrows if ends is not None]
    figure.update_layout(
        height=440,
        xaxis_title="env steps",
        yaxis_title=key,
        annotations=[_annotation(ends, PALETTE[places[one.donor] % len(PALETTE)]) for one, ends in drawn],
    )
    _add_words(figure, drawn, names)
    return figure


def values_plot(
    members: Sequence[TrialHistory],
    names: Mapping[str, str],
    exploits: Sequence[Exploit],
    way: Sequence[Stretch],
    parameter: SweptParameter,
) -> go.Figure:
    """A step line per member, in the colours of `exploits_plot`: the value of one parameter that it trained
    with, over env steps.

    Args:
        members: the best first.
        names: trial id -> what a reader knows it by.
        exploits: of the run.
        way: of the best member's weights, drawn as a broad band behind.
        parameter: whose values.
    """
    figure = go.Figure()
    lines = [(_steps(way, parameter.path), {"width": 9, "color": faint(PALETTE[6], 0.55)}, "best weights")]
    lines += [
        (_steps(stretches(exploits, member), parameter.path), _line(index), names[member.record.id])
        for index, member in enumerate(members)
    ]
    for (env_steps, values), line, name in lines:
        if env_steps:
            figure.add_scatter(
                x=env_steps, y=values, mode="lines", line={**line, "shape": "hv"}, name=name, showlegend=False
            )
    figure.update_layout(xaxis_title="env steps", yaxis=axis(parameter))
    return figure


def _line(index: int) -> dict[str, Any]:
    dash = _DASHES[index // len(PALETTE) % len(_DASHES)]
    return {"width": 3 if index == 0 else 1.7, "color": PALETTE[index % len(PALETTE)], "dash": dash}


def _points(member: TrialHistory, key: str) -> Points:
    """The rows of a member in which a key counts."""
    if key not in member.rows:
        return np.empty(0), np.empty(0)
    shown = member.rows[is_valid(member.rows, key)]
    return shown[ENV_STEPS].to_numpy(float), shown[key].to_numpy(float)


def _at(points: Points, env_steps: float) -> float:
    """The value there, NaN before the first and after the last row."""
    steps, values = points
    return float(np.interp(env_steps, steps, values, left=np.nan, right=np.nan)) if len(steps) else np.nan


def _broken_line(member: TrialHistory, own: Sequence[Exploit], known: Mapping[str, Points]) -> Points:
    """A member's rows; where it took over weights, a gap and then the donor's point."""
    env_steps, values = known[member.record.id]
    places, new_env_steps, new_values = [], [], []
    for exploit in own:
        begin = _at(known[exploit.donor], exploit.env_steps) if exploit.donor in known else np.nan
        places += [int(np.searchsorted(env_steps, _border(member, exploit)))] * 2
        new_env_steps += [exploit.env_steps, exploit.env_steps]
        new_values += [np.nan, begin]
    return np.insert(env_steps, places, new_env_steps), np.insert(values, places, new_values)


def _border(member: TrialHistory, exploit: Exploit) -> float:
    """Env steps of the first row with the weights that were taken over; infinite where there is none."""
    index = first_row_after(member, exploit)
    return float(member.rows[ENV_STEPS].iloc[index]) if index < len(member.rows) else np.inf


def _arrow(
    exploit: Exploit, members: Sequence[TrialHistory], known: Mapping[str, Points]
) -> tuple[float, float, float, float] | None:
    """Where an arrow begins, on the donor's line, and where it ends, at the last own row of the member that
    took over; None where either has no value."""
    member = next(one for one in members if one.record.id == exploit.trial_id)
    env_steps, values = known[exploit.trial_id]
    last_own = int(np.searchsorted(env_steps, _border(member, exploit))) - 1
    begin = _at(known[exploit.donor], exploit.env_steps)
    if last_own < 0 or not np.isfinite(begin):
        return None
    return float(exploit.env_steps), begin, float(env_steps[last_own]), float(values[last_own])


def _annotation(ends: tuple[float, float, float, float], colour: str) -> dict[str, Any]:
    from_x, from_y, to_x, to_y = ends
    places = {"x": to_x, "y": to_y, "ax": from_x, "ay": from_y}
    axes = {"xref": "x", "yref": "y", "axref": "x", "ayref": "y"}
    look = {"arrowhead": 2, "arrowsize": 1.1, "arrowwidth": 1.6, "arrowcolor": colour}
    return {"text": "", "showarrow": True, **places, **axes, **look}


def _add_words(figure: go.Figure, drawn: Sequence[tuple[Exploit, Any]], names: Mapping[str, str]) -> None:
    """What an arrow means, shown when its head is pointed at."""
    if not drawn:
        return
    figure.add_scatter(
        x=[ends[2] for _, ends in drawn],
        y=[ends[3] for _, ends in drawn],
        mode="markers",
        marker={"size": 12, "opacity": 0},
        text=[
            f"{names[one.trial_id]}<br>took over from {names[one.donor]}<br>went on with "
            + ", ".join(f"{path}: {axis_value(value)}" for path, value in one.values.items())
            for one, _ in drawn
        ],
        hoverinfo="text",
        showlegend=False,
    )


def _steps(way: Sequence[Stretch], path: str) -> tuple[list[int], list[Any]]:
    """Corners of a step line; stretches that do not say the value are left out."""
    known = [one for one in way if path in one.values]
    if not known:
        return [], []
    values = [axis_value(one.values[path]) for one in known]
    return [*(one.start for one in known), known[-1].end], [*values, values[-1]]
