"""What RAY_ADDRESS may name: a cluster that the driver joins, or a head that takes jobs; who answers."""

from __future__ import annotations

import os
import socket

from rlsweep.errors import PreflightError

CLIENT = "ray://"
CONNECT_SECONDS = 3.0


def is_head(address: str | None = None) -> bool:
    """Whether an address is that of a head's dashboard, `http://head:8265`, which takes jobs.

    Args:
        address: RAY_ADDRESS by default.

    Raises:
        PreflightError: it is one of Ray Client.
    """
    address = address or os.environ.get("RAY_ADDRESS", "")
    if address.startswith(CLIENT):
        raise PreflightError(
            f"{address} is Ray Client's: the sweep would end with this connection; name the dashboard of the "
            "head, http://HEAD:8265, and it runs there as a job"
        )
    return address.startswith(("http://", "https://"))


def unreachable(address: str) -> str:
    """Why nobody can be reached at `HOST:PORT`; empty where somebody can."""
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
            return ""
    except (ValueError, OverflowError):
        return "that is no HOST:PORT"
    except TimeoutError:
        return f"nobody answers within {CONNECT_SECONDS:g} s"
    except OSError as error:
        return error.strerror or str(error)
