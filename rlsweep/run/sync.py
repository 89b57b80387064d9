"""`sync`: MLflow brought in line with a run: its trials, then report and summary at the parent run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS, MLFLOW_RUN_NOTE

from analysis.findings import find
from analysis.report import SUMMARY_MD
from callbacks.driver.mlflow import UNREACHABLE, answer_soon
from callbacks.driver.projection import Projection
from rlsweep.errors import RunError
from rlsweep.run.tracking import TrackedRun
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import ENDED, FAILED, Manifest, TrialRecord

SUMMARY_TABLE = "summary.json"
MAX_NOTE_LENGTH = 5000

Progress = Callable[[list[TrialRecord]], Iterable[TrialRecord]]


def sync(layout: RunLayout, storage: Storage, progress: Progress = iter) -> str:
    """Send MLflow what it does not have of a run; whatever it has stays as it is.

    Args:
        layout, storage: of the run, which must not be running.
        progress: wraps the trials that are looked at, to show how far it is.

    Returns:
        The parent's run id.

    Raises:
        RunError: the run cannot be read, or MLflow does not answer; what was sent until then counts.
    """
    manifest = Manifest.read(layout)
    tracked = TrackedRun(manifest, layout, storage)
    projection = Projection(tracked.sweep(), tracked.tracking_uri)
    answer_soon()
    is_whole = False
    try:
        projection.open()
        for record in progress([one for one in manifest.trials if layout.result_json(one.id).is_file()]):
            projection.bring(tracked.trial(record.id))
        _publish(layout, projection.parent_run_id, MlflowClient(tracked.tracking_uri))
        has_ended = all(record.status in (*ENDED, FAILED) for record in manifest.trials)
        projection.end("FINISHED" if has_ended else "KILLED")
        is_whole = True
    except UNREACHABLE as error:
        raise RunError(f"MLflow at {tracked.tracking_uri} does not answer: {error}") from None
    finally:
        tracked.keep(projection.parent_run_id, projection.run_ids, is_whole=is_whole)
    return projection.parent_run_id


def _publish(layout: RunLayout, run_id: str, client: MlflowClient) -> None:
    """The report and the summary at the parent run."""
    if not (layout.report / SUMMARY_MD).is_file():
        return
    client.log_artifacts(run_id, str(layout.report), "report")
    client.set_tag(run_id, MLFLOW_RUN_NOTE, _note(layout.report / SUMMARY_MD))
    header, *lines = find(layout).table
    summary = pd.DataFrame(lines, columns=header)
    if SUMMARY_TABLE in client.get_run(run_id).data.tags.get(MLFLOW_LOGGED_ARTIFACTS, ""):
        # log_table would add the lines to those that are there
        client.log_dict(run_id, summary.to_dict(orient="split", index=False), SUMMARY_TABLE)
    else:
        client.log_table(run_id, summary, SUMMARY_TABLE)


def _note(report: Path) -> str:
    """The report's text without its pictures, which MLflow cannot show in a note."""
    parts = report.read_text("utf-8").split("\n\n")
    return "\n\n".join(part for part in parts if not part.startswith("!["))[:MAX_NOTE_LENGTH]
