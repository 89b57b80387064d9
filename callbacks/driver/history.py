"""The history of every trial on disk: result.json, progress.csv, params.json, lineage.json, diagnosis.json,
failures.json, error.txt.

Ours instead of Tune's JSON and CSV loggers, because those repeat the configuration in every row, fix the
CSV's columns at whatever the first row held, and leave no word of how a trial ended.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback

from rlsweep.store.append import Appender
from rlsweep.store.failures import Failure
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import FAILED, INTERRUPTED, RUNNING, TRIAL, result_ending
from rlsweep.store.rows import LINEAGE, TUNE_KEYS
from rlsweep.store.symptoms import Symptom

logger = logging.getLogger(__name__)

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
        self._running: set[str] = set()
        self._lost: set[str] = set()
        self._waiting: set[str] = set()
        self._files = Appender()

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        trial_id = str(trial)
        folder = self._layout.trial(trial_id)
        params = json.dumps({key: trial.config[TRIAL][key] for key in ("values", "seed")}, indent=1)
        _write(folder / RunLayout.PARAMS_JSON, params + "\n")
        self._running.add(trial_id)
        self._waiting.discard(trial_id)
        self._on_status(trial_id, RUNNING)

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        row = history_row(result)
        folder = self._layout.trial(str(trial))
        if result.get(LINEAGE):
            self._files.append(folder / RunLayout.LINEAGE_JSON, json.dumps(result[LINEAGE]) + "\n")
        self._files.append(folder / RunLayout.RESULT_JSON, json.dumps(row) + "\n")
        table = folder / RunLayout.PROGRESS_CSV
        self._files.append(table, _csv(row, with_header=self._files.is_new(table)))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        trial_id = str(trial)
        if trial_id in self._lost:
            self._end(trial_id, FAILED)
        elif trial_id in self._waiting:  # its last row does not say how it ended
            self._end(trial_id, INTERRUPTED)
        elif trial_id in self._running or self._layout.result_json(trial_id).exists():  # else it never began
            self._end(trial_id, ending(trial))

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._keep_trace(trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._keep_trace(trial)
        self._end(str(trial), FAILED)

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        for trial_id in sorted(self._running):  # Ctrl-C: Tune leaves without a word on them
            self._end(trial_id, INTERRUPTED)
        for path, lines in self._files.flush().items():
            logger.error("%d lines of %s are lost, they could not be written", lines, path)

    def tell(self, trial_id: str, symptom: Symptom) -> None:
        """Keep what `Diagnose` has found in a trial."""
        self._files.append(self._layout.trial(trial_id) / RunLayout.DIAGNOSIS_JSON, symptom.line())

    def tell_failure(self, trial_id: str, failure: Failure) -> None:
        """Keep that a trial has failed, and whether it begins again."""
        self._files.append(self._layout.trial(trial_id) / RunLayout.FAILURES_JSON, failure.line())
        (self._waiting if failure.retry else self._lost).add(trial_id)

    def _keep_trace(self, trial: Any) -> None:
        _write(self._layout.trial(str(trial)) / RunLayout.ERROR_TXT, error_text(trial))

    def _end(self, trial_id: str, status: str) -> None:
        self._running.discard(trial_id)
        self._on_status(trial_id, status)


def ending(trial: Any) -> str:
    """How a Tune trial that is complete ended: by its own stop, because it diverged, or by the scheduler."""
    return result_ending(trial.last_result or {})


def error_text(trial: Any) -> str:
    """The trace of a failed Tune trial."""
    if not trial.error_file:
        return "no trace was kept\n"
    return Path(trial.error_file).read_text("utf-8", errors="replace")


def _write(path: Path, text: str) -> None:
    """Write a file that a trial can do without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:  # a full disk
        logger.warning("%s cannot be written now: %s", path, error)


def _csv(row: Mapping[str, Any], *, with_header: bool) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(row))
    if with_header:
        writer.writeheader()
    writer.writerow(row)
    return stream.getvalue()


def history_row(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the history keeps of a Tune result: everything but Tune's own bookkeeping."""
    return {key: value for key, value in result.items() if key not in TUNE_KEYS}
