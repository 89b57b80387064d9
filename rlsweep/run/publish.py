"""Report, summary and the winner's policy at the parent run in MLflow."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import pandas as pd
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS, MLFLOW_RUN_NOTE

from analysis.findings import Findings, find
from analysis.report import SUMMARY_MD
from rlsweep.errors import RunError
from rlsweep.run.export import Best, best_of, export
from rlsweep.run.model import log_model, register
from rlsweep.store.layout import RunLayout

SUMMARY_TABLE = "summary.json"
MAX_NOTE_LENGTH = 5000

MODEL_TAG = "rlsweep.model"
VERSION_TAG = "rlsweep.registered"
"""Tags of the parent run: whose policy its model is, and which one was registered."""


def publish(layout: RunLayout, run_id: str, client: MlflowClient, register_as: str | None) -> None:
    """Bring the parent run in line with the report on disk; nothing is done where there is none.

    Args:
        layout: of the run.
        run_id: of the parent run.
        client: of its store.
        register_as: name of the registered model that the winner becomes the best version of.

    Raises:
        BundleError: the winner's checkpoint holds no policy that can be loaded.
    """
    if not (layout.report / SUMMARY_MD).is_file():
        return
    client.log_artifacts(run_id, str(layout.report), "report")
    client.set_tag(run_id, MLFLOW_RUN_NOTE, _note(layout.report / SUMMARY_MD))
    found = find(layout)
    header, *lines = found.table
    summary = pd.DataFrame(lines, columns=header)
    if SUMMARY_TABLE in client.get_run(run_id).data.tags.get(MLFLOW_LOGGED_ARTIFACTS, ""):
        # log_table would add the lines to those that are there
        client.log_dict(run_id, summary.to_dict(orient="split", index=False), SUMMARY_TABLE)
    else:
        client.log_table(run_id, summary, SUMMARY_TABLE)
    _publish_winner(layout, found, run_id, client, register_as)


def _publish_winner(
    layout: RunLayout, found: Findings, run_id: str, client: MlflowClient, register_as: str | None
) -> None:
    """The winner's policy as a model; once for each winner."""
    try:
        best = best_of(layout)[0]
    except RunError:
        return  # no trial has a valid score, or no checkpoint
    origin = f"{best.checkpoint.trial_id} after {best.checkpoint.env_steps} env steps"
    shown = client.get_run(run_id).data.tags
    if shown.get(MODEL_TAG) != origin:
        with tempfile.TemporaryDirectory() as scratch:  # best/ is what the user last asked for
            bundle = Path(scratch) / "bundle"
            export(best.checkpoint, bundle)
            log_model(bundle, run_id, client)
        client.set_tag(run_id, MODEL_TAG, origin)
    if register_as and shown.get(VERSION_TAG) != f"{register_as}: {origin}":
        register(register_as, run_id, _model_tags(found, best), client)
        client.set_tag(run_id, VERSION_TAG, f"{register_as}: {origin}")


def _model_tags(found: Findings, best: Best) -> dict[str, str]:
    configuration, manifest, objective = best.configuration, found.run.manifest, found.run.objective
    (line,) = found.summary[found.summary["configuration"] == configuration.config_id].to_dict("records")
    low, high = (line.get(f"{objective.over_seeds}_{end}", math.nan) for end in ("low", "high"))
    return {
        "configuration": configuration.config_id,
        "trial": best.checkpoint.trial_id,
        "env_steps": str(best.checkpoint.env_steps),
        objective.key: f"{configuration.value:.6g}",
        "over_seeds": f"{objective.over_seeds} of {configuration.seeds_text}",
        "95_percent_interval": f"{low:.6g} to {high:.6g}" if math.isfinite(low) else "",
        "env": json.dumps(manifest.spec.get("env", {})),
        "git_commit": manifest.git_commit,
    }


def _note(report: Path) -> str:
    """The report's text without its pictures, which MLflow cannot show in a note."""
    parts = report.read_text("utf-8").split("\n\n")
    return "\n\n".join(part for part in parts if not part.startswith("!["))[:MAX_NOTE_LENGTH]
