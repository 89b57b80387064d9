"""One local Ray for each module of integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rlsweep.plan import Machine
from rlsweep.run.session import ray_session


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with ray_session() as found:
        yield found
