"""The sections of figures of `index.html`: which figures a run gives, and the words above them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from analysis import costs, curve_plots, game_plots, lineage, lineage_plots, parameter_plots, run_plots
from analysis.contours import contours
from analysis.curves import MAX_CURVES
from analysis.findings import Findings
from analysis.importance import Importance, importance
from analysis.parameters import SweptParameter, swept_parameters
from analysis.statistics import MIN_BAND_SEEDS
from rlsweep.store.layout import RunLayout

MAX_PARAMETERS = 12
MAX_TRIALS_IN_TIMELINE = 100


@dataclass
class Section:
    """A section of figures.

    Attributes:
        title, text: above them; in the text, words in backticks are code.
        figures: interactive ones.
        images: data URLs.
    """

    title: str
    text: str = ""
    figures: list[go.Figure] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


def sections(found: Findings, layout: RunLayout | None) -> list[Section]:
    """All that a run gives something for.

    Args:
        found: what is shown.
        layout: of the run; None for several together.
    """
    swept = swept_parameters(found.run)
    parameters = swept[:MAX_PARAMETERS]
    matter = _importance(found)
    return [
        *_curves(found),
        *_games(found),
        *_parameters(found, parameters, matter.parameters if matter else {}),
        *_importances(matter),
        *_front(found),
        *(_population(found, layout, parameters) if layout is not None else []),
        *_timeline(found),
    ]


def _curves(found: Findings) -> list[Section]:
    if not found.curves:
        return []
    text = f"Mean over seeds; its 95 % interval from {MIN_BAND_SEEDS} seeds on; thin lines are single seeds."
    if len(found.ranked) > MAX_CURVES:
        text += f" The best {MAX_CURVES} of {len(found.ranked)} configurations."
    key, names = found.run.objective.on_the_way.key, found.run.manifest.phase_names
    return [Section("Learning curves", text, [curve_plots.learning_curves_plot(found.curves, key, names)])]


def _games(found: Findings) -> list[Section]:
    if not found.run.tasks or not any(one.valid_seeds for one in found.ranked):
        return []
    text = (
        "Which share of a configuration's trials, over all games, ends above each value. A line that lies "
        "above another everywhere is better; where they cross, the order depends on what one asks for."
    )
    figure = game_plots.profiles_plot(found.ranked, found.run.objective.key)
    return [Section("Performance profiles over all games", text, [figure])]


def _parameters(
    found: Findings, parameters: Sequence[SweptParameter], shares: Mapping[str, float]
) -> list[Section]:
    """Slices, contours of the pairs that matter most, and all of them together."""
    ranked, objective = found.ranked, found.run.objective
    key, maximize = objective.key, objective.maximize
    shown = []
    if parameters:
        slices = [parameter_plots.parameter_plot(ranked, one, key) for one in parameters]
        shown.append(Section("What each parameter does", figures=slices))
    pairs = contours(ranked, parameters, shares)
    if pairs:
        text = (
            "Each point is a configuration, the star the best one. The colour between them is interpolated: "
            f"a guess, whatever else was swept. Bright is better: {objective.goal} `{key}`."
        )
        if any(one.is_short for one in ranked):
            text += " Crosses ended early: their values stand at fewer env steps."
        figures = [parameter_plots.contour_plot(pair, key, maximize=maximize) for pair in pairs]
        shown.append(Section("Two parameters at a time", text, figures))
    if len(parameters) > 1:
        figure = parameter_plots.parallel_coordinates_plot(ranked, parameters, key, maximize=maximize)
        shown.append(Section("All parameters together", figures=[figure]))
    return shown


def _importance(found: Findings) -> Importance | None:
    judged = found.run.judged_trials()
    lasts = {trial.trial_id: trial.last for one in found.ranked for trial in one.trials}
    return importance(
        [trial.record.values for trial in judged], [lasts.get(trial.record.id, math.nan) for trial in judged]
    )


def _importances(result: Importance | None) -> list[Section]:
    if result is None or len(result.parameters) < 2:
        return []
    noise = (
        f"Between seeds of one configuration lies {result.seed_noise:.0%} of the variance of all results: "
        "what parameters explain is a part of the rest."
        if math.isfinite(result.seed_noise)
        else "With one seed each, nobody knows how much of this is the seed."
    )
    title = "share explained (fANOVA)"
    figure = parameter_plots.bars_plot(result.parameters, title)
    return [Section("Which parameters matter", noise, [figure])]


def _front(found: Findings) -> list[Section]:
    objectives = found.run.manifest.objectives
    if len(objectives) < 2:
        return []
    on_front = [one.on_front for one in found.ranked]
    figure = run_plots.front_plot(found.summary, objectives[0].key, objectives[1].key, on_front)
    return [Section("Pareto front", figures=[figure])]


def _population(found: Findings, layout: RunLayout, parameters: Sequence[SweptParameter]) -> list[Section]:
    """Exploits, and the values over env steps, of a run whose trials took over weights."""
    run = found.run
    exploits = lineage.read_exploits(run, layout)
    if not exploits:
        return []
    trials = {trial.record.id: trial for trial in run.trials}
    ids = [trial.trial_id for one in found.ranked for trial in one.trials]
    members = [trials[trial_id] for trial_id in ids[: lineage_plots.MAX_MEMBERS]]
    names = lineage.member_names(run)
    way = lineage.ancestry(run, exploits, ids[0])
    text = (
        "An arrow leads from the member that gave its weights to the one that took them over, whose line "
        f"goes on from there. Members are called by their first values. {lineage.in_words(way, names)}"
    )
    if len(ids) > len(members):
        text += f" The best {len(members)} of {len(ids)} members."
    key = run.objective.on_the_way.key
    values = [lineage_plots.values_plot(members, names, exploits, way, one) for one in parameters]
    band = "Colours as above. The broad band is what the weights of the best member were trained with."
    return [
        Section(
            "The population: who took over from whom",
            text,
            [lineage_plots.exploits_plot(members, names, exploits, key)],
        ),
        Section("The population: values over env steps", band, values),
    ]


def _timeline(found: Findings) -> list[Section]:
    """When each trial ran, and what was spent and saved, wherever the trials are compared."""
    run = found.run
    cost = costs.costs(run)
    text = " ".join(costs.in_words(cost))
    if 1 < len(run.trials) <= MAX_TRIALS_IN_TIMELINE and run.manifest.spec:
        figure = run_plots.timeline_plot(run, cost if found.cut is None else None)
        return [Section("Which trial ran when, how it ended, and what it cost", text, [figure])]
    return [Section("What it cost", text)] if text else []
