"""Which MLflow store a sweep is shown in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from urllib.parse import unquote, urlsplit, urlunsplit

from filelock import FileLock
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from rlsweep.errors import PreflightError
from rlsweep.store.credentials import without_credentials
from rlsweep.store.layout import Storage

TRACKING_URI_VARIABLE = "MLFLOW_TRACKING_URI"
_USER_VARIABLE = "MLFLOW_TRACKING_USERNAME"
_PASSWORD_VARIABLE = "MLFLOW_TRACKING_PASSWORD"


def tracking_uri(storage: Storage) -> str:
    """MLFLOW_TRACKING_URI where it is set, otherwise the embedded store of `storage`."""
    return _uri_of_environment() or storage.tracking_uri


def check_tracking(storage: Storage) -> None:
    """Open the tracking store once, before anything is moved or started. Of two sweeps that begin in an empty
    storage at once, one waits while the other makes the tables.

    A server that does not answer is no fault here: the sweep goes on without it.

    Raises:
        PreflightError: MLFLOW_TRACKING_URI is nothing that MLflow can open.
    """
    uri = tracking_uri(storage)
    storage.root.mkdir(parents=True, exist_ok=True)
    try:
        with _alone(storage) if uri == storage.tracking_uri else nullcontext():
            MlflowClient(uri)
    except (MlflowException, SQLAlchemyError, ValueError) as error:
        message = f"MLflow cannot open {uri}: {str(error).splitlines()[0]}"
        raise PreflightError(without_credentials(message)) from None


@contextmanager
def _alone(storage: Storage) -> Iterator[None]:
    lock = FileLock(storage.tracking_lock)
    with suppress(NotImplementedError):  # a file system without locks
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def remote_tracking_server() -> str:
    """The server that MLFLOW_TRACKING_URI names; empty where it names none or a store on disk."""
    uri = _uri_of_environment()
    return uri if uri.startswith(("http://", "https://", "databricks")) else ""


def _uri_of_environment() -> str:
    """MLFLOW_TRACKING_URI. A user and a password in that of a server move to the variables that MLflow has
    for them: the client puts the URI into its messages."""
    uri = os.environ.get(TRACKING_URI_VARIABLE, "")
    try:
        parts = urlsplit(uri)
    except ValueError:  # no URI at all; MLflow says so
        return uri
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return uri
    if parts.username and parts.password:
        os.environ[_USER_VARIABLE] = unquote(parts.username)
        os.environ[_PASSWORD_VARIABLE] = unquote(parts.password)
    uri = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    os.environ[TRACKING_URI_VARIABLE] = uri
    return uri
