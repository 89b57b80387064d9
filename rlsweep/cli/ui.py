"""The command that shows MLflow: ui."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from rlsweep.cli.app import DEFAULT_STORAGE, StorageOption, app, messages


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
    auth: Annotated[
        bool, typer.Option("--auth", help="Ask for users and passwords; only so others can be let in.")
    ] = False,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Serve the MLflow UI over the embedded store, or name the server of MLFLOW_TRACKING_URI."""
    from rlsweep.run.tracking_server import is_loopback, mlflow_server
    from rlsweep.run.tracking_store import remote_tracking_server

    remote = remote_tracking_server()
    if remote:
        print(f"MLflow runs on {remote}")
        return
    server = mlflow_server(storage, host, port, auth=auth)
    messages.print(f"MLflow on http://{host}:{port} (Ctrl-C ends it)")
    if not is_loopback(host):
        messages.print("passwords travel as they are: put a proxy with TLS in front of it", style="yellow")
    os.execve(server.arguments[0], server.arguments, os.environ | server.environment)
