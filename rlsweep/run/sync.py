"""`sync`: MLflow brought in line with a run: its trials, then report and summary at the parent run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS, MLFLOW_RUN_NOTE

from analysis.findings import Findings, find
from analysis.report import SUMMARY_MD
from callbacks.driver.mlflow import UNREACHABLE, answer_soon
from callbacks.driver.projection import Projection
from rlsweep.errors import RunError
from rlsweep.run.export import Best, export_best
from rlsweep.run.model import log_model, register
from rlsweep.run.tracking import TrackedRun
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import ENDED, FAILED, Manifest, TrialRecord

SUMMARY_TABLE = "summary.json"
MAX_NOTE_LENGTH = 5000

MODEL_TAG = "rlsweep.model"
VERSION_TAG = "rlsweep.registered"
"""Tags of the parent run: whose policy its model is, and which one was registered."""

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
        _publish(layout, projection.parent_run_id, MlflowClient(tracked.tracking_uri), tracked.register_as)
        has_ended = all(record.status in (*ENDED, FAILED) for record in manifest.trials)
        projection.end("FINISHED" if has_ended else "KILLED")
        is_whole = True
    except UNREACHABLE as error:
        raise RunError(f"MLflow at {tracked.tracking_uri} does not answer: {error}") from None
    finally:
        tracked.keep(projection.parent_run_id, projection.run_ids, is_whole=is_whole)
    return projection.parent_run_id


def _publish(layout: RunLayout, run_id: str, client: MlflowClient, register_as: str | None) -> None:
    """The report, the summary and the winner's policy at the parent run."""
    if not (layout.report / SUMMARY_MD).is_file():
        return
    client.log_artifacts(run_id, str(layout.report), "report")
    client.set_tag(run_id, MLFLOW_RUN_NOTE, _note(layout.report / SUMMARY_MD))
    found = find(layout)
    _publish_winner(layout, found, run_id, client, register_as)
    header, *lines = found.table
    summary = pd.DataFrame(lines, columns=header)
    if SUMMARY_TABLE in client.get_run(run_id).data.tags.get(MLFLOW_LOGGED_ARTIFACTS, ""):
        # log_table would add the lines to those that are there
        client.log_dict(run_id, summary.to_dict(orient="split", index=False), SUMMARY_TABLE)
    else:
        client.log_table(run_id, summary, SUMMARY_TABLE)


def _publish_winner(
    layout: RunLayout, found: Findings, run_id: str, client: MlflowClient, register_as: str | None
) -> None:
    """The winner's policy as a model; once for each winner."""
    try:
        best = export_best(layout)
    except RunError:
        return  # no trial has a valid score, or no checkpoint
    origin = f"{best.checkpoint.trial_id} after {best.checkpoint.env_steps} env steps"
    shown = client.get_run(run_id).data.tags
    if shown.get(MODEL_TAG) != origin:
        log_model(layout.best, run_id, client)
        client.set_tag(run_id, MODEL_TAG, origin)
    if register_as and shown.get(VERSION_TAG) != f"{register_as}: {origin}":
        register(register_as, run_id, _model_tags(found, best), client)
        client.set_tag(run_id, VERSION_TAG, f"{register_as}: {origin}")


def _model_tags(found: Findings, best: Best) -> dict[str, str]:
    line = found.summary.iloc[0]
    manifest, metric = found.run.manifest, found.run.objective.key
    return {
        "configuration": best.configuration.config_id,
        "trial": best.checkpoint.trial_id,
        "env_steps": str(best.checkpoint.env_steps),
        metric: f"{line['mean']:.6g}",
        f"{metric}_95_percent_interval": (
            f"{line['mean_low']:.6g} to {line['mean_high']:.6g}" if best.configuration.valid_seeds > 1 else ""
        ),
        "seeds": str(best.configuration.valid_seeds),
        "env": json.dumps(manifest.spec.get("env", {})),
        "git_commit": manifest.git_commit,
    }


def _note(report: Path) -> str:
    """The report's text without its pictures, which MLflow cannot show in a note."""
    parts = report.read_text("utf-8").split("\n\n")
    return "\n\n".join(part for part in parts if not part.startswith("!["))[:MAX_NOTE_LENGTH]
