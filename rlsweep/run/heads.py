"""What RAY_ADDRESS may name: a cluster that the driver joins, or a head that takes jobs."""

from __future__ import annotations

import os

from rlsweep.errors import PreflightError

CLIENT = "ray://"


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
