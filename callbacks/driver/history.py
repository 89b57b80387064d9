"""The history of every trial on disk: result.json, progress.csv, params.json, lineage.json, error.txt.

Ours instead of Tune's JSON and CSV loggers, because those repeat the configuration in every row, fix the
CSV's columns at whatever the first row held, and leave no word of how a trial ended.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback

from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import FAILED, RUNNING, TRIAL, result_ending
from rlsweep.store.rows import LINEAGE, TUNE_KEYS

StatusListener = Callable[[str, str], None]


class History(Callback):
    """Appends each result as one row of result.json and progress.csv.

    Args:
        layout: of the sweep.
        on_status: called with trial id and status whenever that changes.
    """

    def __init__(
        self,
        layout: RunLayout,
        on_status: StatusListener,
    ) -> None:
        self._layout = layout
        self._on_status = on_status

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        trial_id = str(trial)
        folder = self._layout.trial(trial_id)
        folder.mkdir(parents=True, exist_ok=True)
        params = json.dumps(trial.config[TRIAL], indent=1)
        (folder / RunLayout.PARAMS_JSON).write_text(params + "\n", "utf-8")
        self._on_status(trial_id, RUNNING)

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        row = history_row(result)
        folder = self._layout.trial(str(trial))
        if result.get(LINEAGE):
            with (folder / RunLayout.LINEAGE_JSON).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(result[LINEAGE]) + "\n")
        with (folder / RunLayout.RESULT_JSON).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        table = folder / RunLayout.PROGRESS_CSV
        is_new = not table.exists()
        with table.open("a", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(row))
            if is_new:
                writer.writeheader()
            writer.writerow(row)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._on_status(str(trial), ending(trial))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        trial_id = str(trial)
        (self._layout.trial(trial_id) / RunLayout.ERROR_TXT).write_text(error_text(trial), "utf-8")
        self._on_status(trial_id, FAILED)


def ending(trial: Any) -> str:
    """How a Tune trial that is complete ended: by its own stop, because it diverged, or by the scheduler."""
    return result_ending(trial.last_result or {})


def error_text(trial: Any) -> str:
    """The trace of a failed Tune trial."""
    if not trial.error_file:
        return "no trace was kept\n"
    return Path(trial.error_file).read_text("utf-8", errors="replace")


def error_reason(text: str) -> str:
    """The last exception of a trace that has a message: `ValueError: the environment broke`."""
    found = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception): .+)$", text, flags=re.MULTILINE)
    return str(found[-1]) if found else text.strip().splitlines()[-1]


def history_row(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the history keeps of a Tune result: everything but Tune's own bookkeeping."""
    return {key: value for key, value in result.items() if key not in TUNE_KEYS}
