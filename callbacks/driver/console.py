"""What a person sees while a sweep runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from callbacks.driver.history import ending
from rlsweep.spec.quantities import duration
from rlsweep.store.failures import Failure
from rlsweep.store.manifest import DIVERGED, FAILED, FINISHED, PENDING, RUNNING, STOPPED
from rlsweep.store.rows import ENV_STEPS, GAMES, SCORE, SCORE_VALID, STEPS_PER_SECOND
from rlsweep.store.symptoms import Symptom

SECONDS_BETWEEN_LINES = 15.0
SPARKLINE_WIDTH = 16
MAX_ROWS = 30
_BARS = "▁▂▃▄▅▆▇█"
_STYLES = {RUNNING: "cyan", FINISHED: "green", STOPPED: "yellow", DIVERGED: "red", FAILED: "bold red"}


@dataclass
class _View:
    """What is shown of one trial."""

    goal_env_steps: int
    status: str = PENDING
    row: dict[str, Any] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)
    last_line: float = -math.inf

    @property
    def env_steps(self) -> int:
        return int(self.row.get(ENV_STEPS, 0))

    @property
    def seconds_left(self) -> float:
        speed = float(self.row.get(STEPS_PER_SECOND, math.nan))
        return max(0, self.goal_env_steps - self.env_steps) / speed if speed > 0 else math.nan


class SweepConsole(Callback):
    """Shows every trial's state on stderr.

    Args:
        name: of the sweep.
        num_trials: how many will run, at most.
        goal_env_steps: at which each of them ends.
    """

    def __init__(self, name: str, num_trials: int, goal_env_steps: int) -> None:
        self._name = name
        self._num_trials = num_trials
        self._goal_env_steps = goal_env_steps
        self._views: dict[str, _View] = {}

    def setup(
        self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **info: Any
    ) -> None:
        # Not in the constructor: Tune pickles its callbacks before the sweep starts.
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        if self._console.is_terminal and sys.stdout.isatty():
            self._live = Live(console=self._console, get_renderable=self._table, auto_refresh=False)
            self._live.start()
        else:
            self._console.print(f"{self._name}: {self._num_trials} trials")

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._change(str(trial), RUNNING)

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        trial_id = str(trial)
        view = self._views[trial_id]
        view.row = result
        if result[SCORE_VALID]:
            view.scores.append(result[SCORE])
        if self._live is not None:
            self._live.refresh()
        elif time.monotonic() - view.last_line >= SECONDS_BETWEEN_LINES:
            view.last_line = time.monotonic()
            self._console.print(
                plain_line(trial_id, view.row, view.goal_env_steps, view.seconds_left), soft_wrap=True
            )

    def tell(self, trial_id: str, symptom: Symptom) -> None:
        """Tell what `Diagnose` has found in a trial, and what to do about it."""
        text = f"{trial_id}: {symptom.cause}. Try: {symptom.remedy}"
        self._console.print(text, markup=False, soft_wrap=True, style="yellow")

    def tell_failure(self, trial_id: str, failure: Failure) -> None:
        """Tell that a trial has failed, and whether it begins again."""
        self._change(trial_id, PENDING if failure.retry else FAILED)
        style = "yellow" if failure.retry else "red"
        self._console.print(f"{trial_id}: {failure}", markup=False, soft_wrap=True, style=style)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if self._status(trial) != FAILED:
            self._change(str(trial), ending(trial))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if self._status(trial) != FAILED:
            self._change(str(trial), FAILED)

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        if self._live is not None:
            self._live.refresh()
            self._live.stop()

    def _status(self, trial: Any) -> str:
        view = self._views.get(str(trial))
        return view.status if view else ""

    def _change(self, trial_id: str, status: str) -> None:
        self._views.setdefault(trial_id, _View(self._goal_env_steps)).status = status
        if self._live is not None:
            self._live.refresh()
        else:
            view = self._views[trial_id]
            self._console.print(
                f"{trial_id}: {status}"
                + (f", score {view.row[SCORE]:.2f} after {view.env_steps:,} env steps" if view.row else ""),
                soft_wrap=True,
            )

    def _table(self) -> Table:
        waiting = self._num_trials - len(self._views)
        title = f"{self._name}, {waiting} more trials to start" if waiting > 0 else self._name
        table = Table(title=title, title_justify="left", expand=False)
        for header in ("trial", "status"):
            table.add_column(header)
        for header in ("score", "curve", "games", "env steps", "progress", "steps/s", "left"):
            table.add_column(header, justify="left" if header in ("curve", "progress") else "right")
        order = [RUNNING, FAILED, DIVERGED, PENDING, STOPPED, FINISHED]
        shown = sorted(self._views.items(), key=lambda item: order.index(item[1].status))
        for trial_id, view in shown[:MAX_ROWS]:
            speed = view.row.get(STEPS_PER_SECOND, math.nan)
            table.add_row(
                trial_id,
                f"[{_STYLES.get(view.status, 'dim')}]{view.status}[/]",
                f"{view.row[SCORE]:.2f}" if view.row else "–",
                sparkline(view.scores),
                str(view.row.get(GAMES, "–")),
                f"{view.env_steps:,}",
                ProgressBar(view.goal_env_steps, view.env_steps, width=14),
                f"{speed:.0f}" if view.status == RUNNING and math.isfinite(speed) else "–",
                duration(view.seconds_left) if view.status == RUNNING else "–",
            )
        if len(shown) > MAX_ROWS:
            table.caption = f"and {len(shown) - MAX_ROWS} more"
        return table


def plain_line(trial_id: str, row: Mapping[str, Any], goal_env_steps: int, seconds_left: float) -> str:
    """One line on a trial, for logs."""
    share = 100 * row[ENV_STEPS] / goal_env_steps
    return (
        f"{trial_id}: score {row[SCORE]:.2f} ({row[GAMES]} games), {row[ENV_STEPS]:,} env steps "
        f"({share:.0f}%), {row[STEPS_PER_SECOND]:.0f} steps/s, {duration(seconds_left)} left"
    )


def sparkline(values: Sequence[float], width: int = SPARKLINE_WIDTH) -> str:
    """The values as a row of bars, the last one at the right, lowest to highest over their own range."""
    if not values:
        return ""
    picked = [values[len(values) * i // width] for i in range(width)] if len(values) > width else values
    low, high = min(picked), max(picked)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in picked)
