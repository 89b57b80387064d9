"""`sync`: MLflow brought in line with a run: its trials, then what is shown at the parent run."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mlflow.tracking import MlflowClient

from callbacks.driver.mlflow import MLFLOW_ERRORS, answer_soon, is_away
from callbacks.driver.projection import FINISHED, KILLED, Projection
from rlsweep.errors import RunError
from rlsweep.run.publish import publish
from rlsweep.run.tracking import TrackedRun
from rlsweep.store.credentials import without_credentials
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import ENDED, FAILED, Manifest, TrialRecord

Progress = Callable[[list[TrialRecord]], Iterable[TrialRecord]]


def sync(layout: RunLayout, storage: Storage, progress: Progress = iter) -> str:
    """Send MLflow what it does not have of a run; whatever it has stays as it is.

    Args:
        layout, storage: of the run, which must not be running.
        progress: wraps the trials that are looked at, to show how far it is.

    Returns:
        The parent's run id.

    Raises:
        RunError: the run cannot be read, MLflow does not answer, or refuses a trial; what was sent counts.
        BundleError: the winner's checkpoint holds no policy that can be loaded; the rest was sent.
    """
    manifest = Manifest.read(layout)
    tracked = TrackedRun(manifest, layout, storage)
    projection = Projection(tracked.sweep(), tracked.tracking_uri)
    answer_soon()
    is_whole = False
    try:
        projection.open()
        records = [record for record in manifest.trials if layout.result_json(record.id).is_file()]
        refused = _bring(projection, tracked, progress(records))
        has_ended = all(record.status in (*ENDED, FAILED) for record in manifest.trials)
        projection.end(FINISHED if has_ended else KILLED)
        is_whole = not refused
        publish(layout, projection.parent_run_id, MlflowClient(tracked.tracking_uri), tracked.register_as)
    except MLFLOW_ERRORS as error:
        what = "does not answer" if is_away(error) else "refuses"
        message = f"MLflow at {tracked.tracking_uri} {what}: {error}"
        raise RunError(without_credentials(message)) from None
    finally:
        tracked.keep(projection.parent_run_id, projection.run_ids, is_whole=is_whole)
    if refused:
        raise RunError("MLflow has all but:\n  " + "\n  ".join(refused))
    return projection.parent_run_id


def _bring(projection: Projection, tracked: TrackedRun, records: Iterable[TrialRecord]) -> list[str]:
    """Bring every trial in line; the words for those that MLflow refuses, which keep no other from it."""
    refused = []
    for record in records:
        try:
            projection.bring(tracked.trial(record.id))
        except MLFLOW_ERRORS as error:
            if is_away(error):
                raise
            refused.append(f"{record.id}: {without_credentials(str(error))}")
    return refused
