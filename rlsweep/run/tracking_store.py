"""Which MLflow store a sweep is shown in, and the server that shows it."""

from __future__ import annotations

import os
import sys

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from rlsweep.errors import PreflightError
from rlsweep.store.layout import Storage

TRACKING_URI_VARIABLE = "MLFLOW_TRACKING_URI"


def tracking_uri(storage: Storage) -> str:
    """MLFLOW_TRACKING_URI where it is set, otherwise the embedded store of `storage`."""
    return os.environ.get(TRACKING_URI_VARIABLE) or storage.tracking_uri


def check_tracking(storage: Storage) -> None:
    """Open the tracking store once, before anything is moved or started.

    A server that does not answer is no fault here: the sweep goes on without it.

    Raises:
        PreflightError: MLFLOW_TRACKING_URI is nothing that MLflow can open.
    """
    uri = tracking_uri(storage)
    storage.root.mkdir(parents=True, exist_ok=True)
    try:
        MlflowClient(uri)
    except (MlflowException, SQLAlchemyError) as error:
        raise PreflightError(f"MLflow cannot open {uri}: {str(error).splitlines()[0]}") from None


def remote_tracking_server() -> str:
    """The server that MLFLOW_TRACKING_URI names; empty where it names none or a store on disk."""
    uri = os.environ.get(TRACKING_URI_VARIABLE, "")
    return uri if uri.startswith(("http://", "https://", "databricks")) else ""


def mlflow_server_command(storage: Storage, host: str, port: int) -> list[str]:
    """The command line of an MLflow server over the embedded store, for this interpreter.

    Only the address it listens on is an allowed host: MLflow's default admits every private network.
    """
    storage.root.mkdir(parents=True, exist_ok=True)
    hosts = {f"{host}:{port}", f"localhost:{port}", f"127.0.0.1:{port}"}
    return [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        tracking_uri(storage),
        "--default-artifact-root",
        storage.artifacts.as_uri(),
        "--host",
        host,
        "--port",
        str(port),
        "--workers",
        "1",
        "--allowed-hosts",
        ",".join(sorted(hosts)),
        "--uvicorn-opts",
        "--log-level warning",
    ]
