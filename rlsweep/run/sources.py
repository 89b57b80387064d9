"""What may stand for a policy or a run: a run's name, a bundle's folder, a model or artifact in MLflow."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from callbacks.driver.projection import SWEEP_TAG
from rlsweep.errors import RunError, UsageError
from rlsweep.rl.bundle import DESCRIPTION, Bundle, load_bundle
from rlsweep.run.export import best_of, export
from rlsweep.run.model import download_bundle, run_of
from rlsweep.run.tracking_store import tracking_uri
from rlsweep.store.layout import RunLayout, Storage, is_name
from rlsweep.store.manifest import Manifest


@dataclass(frozen=True)
class PolicySource:
    """A policy, and where it comes from.

    Attributes:
        name: as the user called it.
        place: folder of the checkpoint or the bundle, or the URI.
        bundle: ready to play.
    """

    name: str
    place: str
    bundle: Bundle


@contextmanager
def policy_source(name: str, storage: Storage, layout: RunLayout | None) -> Iterator[PolicySource]:
    """The policy that a name stands for; of a run, the best of its winner.

    Args:
        name: of a run, folder of a bundle, or URI.
        storage: of all runs.
        layout: of the run; None where it names none.

    Raises:
        RunError: the run has no whole checkpoint, or MLflow no such policy.
        BundleError: the policy cannot be loaded.
    """
    if layout is None and is_bundle(name):
        yield PolicySource(name, name, load_bundle(Path(name)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        if layout is not None:
            checkpoint = best_of(layout)[0].checkpoint
            export(checkpoint, folder)
            place = str(checkpoint.path)
        else:
            folder, place = download_bundle(name, tracking_uri(storage), folder), name
        yield PolicySource(name, place, load_bundle(folder))


def is_bundle(name: str) -> bool:
    """Whether it is the folder of a policy bundle."""
    return (Path(name) / DESCRIPTION).is_file()


def run_name_of(uri: str, storage: Storage) -> str:
    """The name of the sweep that a model or an artifact in MLflow belongs to.

    Raises:
        RunError: MLflow has no such thing, or it is of no sweep.
    """
    try:
        client = MlflowClient(tracking_uri(storage))
        run = client.get_run(run_of(uri, client))
        experiment = str(client.get_experiment(run.info.experiment_id).name)
    except MlflowException as error:
        raise RunError(f"{uri}: {error}") from None
    name = str(run.data.tags.get(SWEEP_TAG, experiment))
    if not is_name(name):
        raise RunError(f"{uri} is of the experiment {experiment!r}, which is no sweep")
    return name


def mlflow_run_of(source: PolicySource, storage: Storage) -> str:
    """The run in MLflow of the trial that a policy comes from.

    Raises:
        UsageError: its trial is not in this storage, or MLflow does not have it.
    """
    sweep, trial_id = (str(source.bundle.origin.get(key, "")) for key in ("sweep", "trial"))
    try:
        if not is_name(sweep):
            raise KeyError(sweep)
        run_id = Manifest.read(storage.run(sweep)).trial(trial_id).mlflow_run_id
    except (RunError, KeyError):
        raise UsageError(f"{source.name}: its trial {trial_id!r} is not in {storage.root}") from None
    if not run_id:
        raise UsageError(f"{source.name}: MLflow does not have its trial yet; first: rlsweep sync {sweep}")
    return run_id
