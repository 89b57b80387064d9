"""`index.html`: one page that needs no network, on a phone as on a screen, dark or light."""

from __future__ import annotations

import base64
import html
import json
import math
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import yaml
from jinja2 import Environment
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis.findings import Findings
from analysis.sections import Section, sections
from analysis.throughput import ThroughputPage
from rlsweep.store.layout import RunLayout
from rlsweep.store.rows import ENV_STEPS, GAMES, SCORE

MAX_TRIALS_SHOWN = 500


def write_page(
    found: Findings,
    path: Path,
    layout: RunLayout | None,
    throughput: ThroughputPage | None,
    *,
    refresh_seconds: float | None = None,
) -> None:
    """Write the page.

    Args:
        found: what it says.
        path: of the HTML file.
        layout: of the run; None for several together.
        throughput: page on the bottleneck; None where there is none.
        refresh_seconds: it loads itself again so often; None for never.
    """
    shown = sections(found, layout)
    if throughput is not None:
        image = base64.b64encode(throughput.figure.read_bytes()).decode()
        data_url = f"data:image/png;base64,{image}"
        shown.append(Section("Where the time went", " ".join(throughput.sentences), images=[data_url]))
    plots = [
        {f"plot-{number}-{index}": _plain(figure) for index, figure in enumerate(section.figures)}
        for number, section in enumerate(shown)
    ]
    manifest = found.run.manifest
    header, *lines = found.table
    page = _template().render(
        refresh_seconds=refresh_seconds,
        name=manifest.name,
        when=manifest.created,
        description=manifest.spec.get("description", ""),
        verdicts=found.verdicts
        or ["Fewer than two configurations have a value: there is nothing to compare."],
        objectives=found.objectives,
        header=header,
        lines=lines,
        intervals=found.intervals,
        by_game=found.by_game,
        cautions=found.cautions,
        sections=list(zip(shown, plots, strict=True)),
        trials=_trials(found, layout),
        more_trials=len(found.run.trials) - MAX_TRIALS_SHOWN,
        origin=found.origin,
        spec=yaml.safe_dump(manifest.spec, sort_keys=False) if manifest.spec else "",
        plotly=Markup(get_plotlyjs()),  # the library itself
        figures=Markup(_script_json({key: figure for one in plots for key, figure in one.items()})),
    )
    path.write_text(page, "utf-8")


def _trials(found: Findings, layout: RunLayout | None) -> list[list[str]]:
    scheduler = found.run.manifest.scheduler
    lines = []
    for trial in found.run.trials[:MAX_TRIALS_SHOWN]:
        score, games = trial.last.get(SCORE, math.nan), trial.last.get(GAMES, 0)
        lines.append(
            [
                trial.record.id,
                f"{score:.2f}" if math.isfinite(score) else "–",
                f"{games:,.0f}" if math.isfinite(games) else "–",
                f"{int(trial.last.get(ENV_STEPS, 0)):,}",
                trial.words(scheduler, layout.trial(trial.record.id)) if layout else trial.status,
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
