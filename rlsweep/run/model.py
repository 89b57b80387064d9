"""The winner as a model of MLflow that plays on a CPU: a batch of observations in, actions out."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import gymnasium
import mlflow
import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types.schema import ParamSchema, ParamSpec, Schema, TensorSpec

from rlsweep.errors import RunError
from rlsweep.rl.bundle import DESCRIPTION, Bundle, load_bundle
from rlsweep.run.policy_model import ARCHIVE, BUNDLE

MODEL_PATH = "policy"
"""Of the model among the parent run's artifacts."""

ALIAS = "best"

MODELS = "models:/"

_REQUIREMENTS = ("torch", "numpy", "gymnasium", "ale-py", "safetensors", "pydantic", "pyyaml", "scipy")
_ROOT = Path(__file__).parents[1]


def log_model(folder: Path, run_id: str, client: MlflowClient) -> None:
    """Put a policy bundle among a run's artifacts as a model with signature and example.

    rlsweep goes along, so that it loads where that is not installed; as one file, since a server that asks
    for a password takes a fifth of a second for each.

    Args:
        folder: of the bundle.
        run_id: of the run.
        client: of its store.

    Raises:
        BundleError: the bundle cannot be loaded.
    """
    bundle = load_bundle(folder)
    example: np.ndarray = np.zeros((2, *bundle.observation_shape), _dtype(bundle))
    with tempfile.TemporaryDirectory() as scratch:
        target, archive = Path(scratch) / MODEL_PATH, Path(scratch) / ARCHIVE
        _pack(archive)
        mlflow.pyfunc.save_model(
            path=str(target),
            python_model=str(_ROOT / "run" / "policy_model.py"),
            artifacts={BUNDLE: str(folder)},
            signature=signature(bundle),
            input_example=example,
            code_paths=[str(archive)],
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in _REQUIREMENTS],
        )
        client.log_artifacts(run_id, str(target), MODEL_PATH)


def _pack(archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(_ROOT.rglob("*.*")):
            if path.suffix in (".py", ".json"):
                packed.write(path, path.relative_to(_ROOT.parent))


def register(name: str, run_id: str, tags: Mapping[str, str], client: MlflowClient) -> str:
    """Make the model of a run the best version of a registered model.

    Args:
        name: of the registered model; made where there is none.
        run_id: of the run that has it.
        tags: of the version.
        client: of the store.

    Returns:
        The version.
    """
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run_id).info.artifact_uri}/{MODEL_PATH}"
    made = client.create_model_version(name, source, run_id=run_id, tags=dict(tags))
    client.set_registered_model_alias(name, ALIAS, made.version)
    return str(made.version)


def signature(bundle: Bundle) -> ModelSignature:
    """Of `predict` for a bundle."""
    space = bundle.action_space
    if isinstance(space, gymnasium.spaces.Box):
        actions = TensorSpec(np.dtype(space.dtype), (-1, *space.shape))
    else:
        actions = TensorSpec(np.dtype(np.int64), (-1,))
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(_dtype(bundle)), (-1, *bundle.observation_shape))]),
        outputs=Schema([actions]),
        params=ParamSchema([ParamSpec("greedy", "boolean", True), ParamSpec("seed", "long", 0)]),
    )


def download_bundle(uri: str, tracking_uri: str, target: Path) -> Path:
    """The policy bundle of `models:/NAME@best` or `runs:/ID/policy`, below a folder that is made for it.

    Raises:
        RunError: MLflow has no such model, or it holds no bundle.
    """
    try:
        source = _source(uri, MlflowClient(tracking_uri))
        target.mkdir(parents=True)
        folder = Path(
            mlflow.artifacts.download_artifacts(source, tracking_uri=tracking_uri, dst_path=str(target))
        )
    except (MlflowException, OSError) as error:
        raise RunError(f"{uri}: {error}") from None
    found = sorted(folder.rglob(DESCRIPTION))
    if not found:
        allowed = f"models:/NAME@{ALIAS}, runs:/ID/{MODEL_PATH}"
        raise RunError(f"{uri} holds no policy of rlsweep; allowed: {allowed}")
    return found[0].parent


def run_of(uri: str, client: MlflowClient) -> str:
    """The id of the run that a `models:/…` or `runs:/…` belongs to.

    Raises:
        MlflowException: there is no such model.
    """
    if uri.startswith(MODELS):
        return str(_version(uri, client).run_id)
    return uri.removeprefix("runs:/").split("/")[0]


def _source(uri: str, client: MlflowClient) -> str:
    """Where the artifacts lie; MLflow would look for a model in the registry of its global settings."""
    return str(_version(uri, client).source) if uri.startswith(MODELS) else uri


def _version(uri: str, client: MlflowClient) -> ModelVersion:
    """`models:/NAME@alias` or `models:/NAME/1`."""
    name, at, alias = uri.removeprefix(MODELS).partition("@")
    if at:
        return client.get_model_version_by_alias(name, alias)
    name, _, number = name.partition("/")
    return client.get_model_version(name, number)


def _dtype(bundle: Bundle) -> type:
    return np.uint8 if len(bundle.observation_shape) == 3 else np.float32
