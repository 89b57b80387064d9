"""`index.html`: one page that needs no network, on a phone as on a screen, dark or light."""

from __future__ import annotations

import base64
import html
import json
import math
import re
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import yaml
from jinja2 import Environment
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis import plots
from analysis.curves import MAX_CURVES
from analysis.findings import Findings
from analysis.importance import importance
from analysis.throughput import FIGURE as THROUGHPUT_FIGURE
from rlsweep.store.endings import in_words
from rlsweep.store.layout import RunLayout
from rlsweep.store.rows import ENV_STEPS, GAMES, SCORE

MAX_PARAMETERS = 12
MAX_TRIALS_SHOWN = 500
MAX_TRIALS_IN_TIMELINE = 100


@dataclass
class Group:
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


def write_page(
    found: Findings,
    path: Path,
    layout: RunLayout | None,
    throughput: Path | None,
    *,
    refresh_seconds: float | None = None,
) -> None:
    """Write the page.

    Args:
        found: what it says.
        path: of the HTML file.
        layout: of the run; None for several together.
        throughput: page on the bottleneck, whose figure lies beside it; None where there is none.
        refresh_seconds: it loads itself again so often; None for never.
    """
    groups = _groups(found)
    if throughput is not None:
        image = base64.b64encode((path.parent / THROUGHPUT_FIGURE).read_bytes()).decode()
        lines = re.findall(r"^- (.*)$", throughput.read_text("utf-8"), flags=re.MULTILINE)
        groups.append(
            Group("Where the time went", " ".join(lines), images=[f"data:image/png;base64,{image}"])
        )
    figures: dict[str, Any] = {}
    shown = []
    for number, group in enumerate(groups):
        ids = [f"plot-{number}-{index}" for index in range(len(group.figures))]
        figures |= {key: _plain(figure) for key, figure in zip(ids, group.figures, strict=True)}
        shown.append(
            {
                "title": group.title,
                "text": group.text,
                "images": group.images,
                "plots": [{"id": key} for key in ids],
            }
        )
    manifest = found.run.manifest
    header, *lines = found.table
    page = _template().render(
        refresh_seconds=refresh_seconds,
        name=manifest.name,
        when=manifest.created,
        description=manifest.spec.get("description", ""),
        verdicts=found.verdicts or ["One configuration: there is nothing to compare it with."],
        objectives=found.objectives,
        header=header,
        lines=lines,
        intervals=found.intervals,
        cautions=found.cautions,
        groups=shown,
        trials=_trials(found, layout),
        origin=found.origin,
        spec=yaml.safe_dump(manifest.spec, sort_keys=False) if manifest.spec else "",
        plotly=Markup(get_plotlyjs()),  # the library itself
        figures=Markup(_script_json(figures)),
    )
    path.write_text(page, "utf-8")


def _groups(found: Findings) -> list[Group]:
    run, table = found.run, found.summary
    metric = run.objective.key
    groups = []
    if found.curves:
        text = "Mean over seeds with its 95 % interval; thin lines are single seeds."
        if len(found.curves) > MAX_CURVES:
            text += f" The best {MAX_CURVES} of {len(found.curves)} configurations."
        curriculum = run.manifest.spec.get("curriculum") or {}
        names = [phase["name"] for phase in curriculum.get("phases", [])]
        figure = plots.learning_curves_plot(found.curves, run.objective.on_the_way.key, names)
        groups.append(Group("Learning curves", text, [figure]))
    paths = [path for path in _swept(found) if path in table][:MAX_PARAMETERS]
    if paths:
        values = {trial.record.config_id: trial.record.values for trial in run.trials}
        figures = [
            plots.parameter_plot(
                found.ranked,
                {config_id: one[path] for config_id, one in values.items() if path in one},
                path,
                metric,
            )
            for path in paths
        ]
        groups.append(Group("What each parameter does", figures=figures))
    if len(paths) > 1:
        figures = [plots.parallel_coordinates_plot(table, paths, metric)]
        groups.append(Group("All parameters together", figures=figures))
    groups += _importance(found)
    if len(run.manifest.objectives) > 1:
        second = run.manifest.objectives[1].key
        on_front = [one.on_front for one in found.ranked]
        groups.append(Group("Pareto front", figures=[plots.front_plot(table, metric, second, on_front)]))
    if 1 < len(run.trials) <= MAX_TRIALS_IN_TIMELINE and run.manifest.spec:
        groups.append(Group("Which trial ran when, and how it ended", figures=[plots.timeline_plot(run)]))
    return groups


def _importance(found: Findings) -> list[Group]:
    judged = found.run.judged_trials()
    lasts = {trial.trial_id: trial.last for one in found.ranked for trial in one.trials}
    result = importance(
        [trial.record.values for trial in judged], [lasts.get(trial.record.id, math.nan) for trial in judged]
    )
    if result is None or len(result.parameters) < 2:
        return []
    noise = (
        f"Between seeds of one configuration lies {result.seed_noise:.0%} of the variance of all results: "
        "what parameters explain is a part of the rest."
        if math.isfinite(result.seed_noise)
        else "With one seed each, nobody knows how much of this is the seed."
    )
    title = "share of what they explain (fANOVA)"
    return [Group("Which parameters matter", noise, [plots.bars_plot(result.parameters, title)])]


def _swept(found: Findings) -> list[str]:
    """Paths of the swept parameters that have more than one value, in the order of the trials."""
    values: dict[str, set[str]] = {}
    for trial in found.run.trials:
        for path, value in trial.record.values.items():
            values.setdefault(path, set()).add(str(value))
    return [path for path, found_values in values.items() if len(found_values) > 1]


def _trials(found: Findings, layout: RunLayout | None) -> list[list[str]]:
    scheduler = found.run.manifest.spec.get("scheduler", {}).get("type", "fifo")
    lines = []
    for trial in found.run.trials[:MAX_TRIALS_SHOWN]:
        row = dict(trial.rows.iloc[-1]) if len(trial.rows) else {}
        env_steps = int(row.get(ENV_STEPS, 0))
        score, games = row.get(SCORE, math.nan), row.get(GAMES, 0)
        lines.append(
            [
                trial.record.id,
                f"{score:.2f}" if math.isfinite(score) else "–",
                f"{games:,.0f}" if math.isfinite(games) else "–",
                f"{env_steps:,}",
                in_words(trial.record, scheduler, env_steps, layout.trial(trial.record.id))
                if layout
                else trial.record.status,
            ]
        )
    return lines


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = _code
    return environment.from_string(files("analysis").joinpath("templates/index.html").read_text("utf-8"))


def _code(text: str) -> Markup:
    """Escaped, with words in backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text)))


def _plain(figure: go.Figure) -> dict[str, Any]:
    """A figure without plotly's own template, whose colours are the page's."""
    data: dict[str, Any] = json.loads(figure.to_json())
    data["layout"].pop("template", None)
    return data


def _script_json(figures: dict[str, Any]) -> str:
    """JSON that can stand in a script element, whatever text is in it."""
    return json.dumps(figures).replace("<", "\\u003c")
