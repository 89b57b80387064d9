"""The MLflow server that `rlsweep ui` starts: for this machine alone, or behind passwords."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import secrets
import socket
import sys
from dataclasses import dataclass

import psutil

from rlsweep.errors import PreflightError
from rlsweep.run.tracking_store import tracking_uri
from rlsweep.store.layout import Storage

_EVERY_ADDRESS = ("0.0.0.0", "::")
_ADMIN_PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"
_AUTH_SETTINGS = "MLFLOW_AUTH_CONFIG_PATH"
_SESSION_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"
_ALLOWED_HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"


@dataclass(frozen=True)
class ServerCommand:
    """What starts a server.

    Attributes:
        arguments: its command line, which every user of the machine can read.
        environment: what it needs beside that of this process.
    """

    arguments: list[str]
    environment: dict[str, str]


def mlflow_server(storage: Storage, host: str, port: int, *, auth: bool = False) -> ServerCommand:
    """What starts an MLflow server over the embedded store, with this interpreter.

    Args:
        storage: whose store it shows.
        host: address to listen on.
        port: to listen on.
        auth: users and passwords are asked for.

    Raises:
        PreflightError: others could reach it and would be asked for no password, or none can be asked for.
    """
    if not auth and not is_loopback(host):
        raise PreflightError(
            f"on {host} whoever reaches this machine could read, change and delete what MLflow has; say "
            "--auth, and users and passwords are asked for, or look from elsewhere through "
            f"ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}"
        )
    storage.root.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    command += ["--default-artifact-root", storage.artifacts.as_uri()]
    command += ["--allowed-hosts", ",".join(_allowed_hosts(host, port))]
    command += ["--workers", "1", "--uvicorn-opts", "--log-level warning"]
    environment = {"MLFLOW_BACKEND_STORE_URI": tracking_uri(storage)}  # it may hold a password
    if auth:
        command += ["--app-name", "basic-auth"]
        environment |= _accounts(storage)
    return ServerCommand(command, environment)


def is_loopback(host: str) -> bool:
    """Whether an address, or a name of one, is reached from this machine alone."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)


def _allowed_hosts(host: str, port: int) -> list[str]:
    """By which names browsers may call it: MLflow's default admits every private network."""
    names = {host, "localhost", "127.0.0.1"}
    if not is_loopback(host):
        names |= {socket.gethostname(), socket.getfqdn()}
    if host in _EVERY_ADDRESS:
        addresses = (one for interface in psutil.net_if_addrs().values() for one in interface)
        names |= {one.address for one in addresses if one.family == socket.AF_INET}
    called = {f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in names}
    others = os.environ.get(_ALLOWED_HOSTS, "")  # of a proxy in front of it
    return sorted(called | set(others.split(",")) - {""})


def _accounts(storage: Storage) -> dict[str, str]:
    """Where MLflow keeps users and hashed passwords: in the storage, for its owner alone.

    Raises:
        PreflightError: what MLflow needs for it is not installed, or nobody has a password yet.
    """
    if importlib.util.find_spec("flask_wtf") is None:
        raise PreflightError("--auth needs more of MLflow: pip install 'mlflow[auth]'")
    environment = {_SESSION_KEY: os.environ.get(_SESSION_KEY) or secrets.token_hex(32)}
    if os.environ.get(_AUTH_SETTINGS):
        return environment
    folder = storage.accounts
    database = folder / "auth.db"
    if not database.is_file() and not os.environ.get(_ADMIN_PASSWORD):
        raise PreflightError(f"nobody has a password yet: set {_ADMIN_PASSWORD}, that of the user admin")
    folder.mkdir(mode=0o700, exist_ok=True)
    settings = folder / "auth.ini"
    lines = [
        "[mlflow]",
        "default_permission = READ",
        f"database_uri = sqlite:///{str(database.resolve()).replace('%', '%%')}",
        "admin_username = admin",
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth",
    ]
    settings.write_text("\n".join(lines) + "\n", "utf-8")
    return environment | {_AUTH_SETTINGS: str(settings.resolve())}
