"""`rlsweep …`: one thin function per command. Data on stdout, messages on stderr."""

from __future__ import annotations

import sys

from rlsweep.cli import doctor, jobs, policies, runs, specs, ui  # noqa: F401  they add their commands to the app
from rlsweep.cli.app import app, messages
from rlsweep.errors import RlsweepError
from rlsweep.run.exposure import keep_ray_local
from rlsweep.store.credentials import without_credentials


def main() -> None:
    """Entry point: every rlsweep error becomes its message and its exit code."""
    keep_ray_local()
    try:
        app()
    except RlsweepError as error:
        messages.print(without_credentials(str(error)), markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:  # a folder that is a file, a disk that is full, a name that is too long
        messages.print(
            f"{error.filename or 'system'}: {error.strerror or error}", markup=False, soft_wrap=True
        )
        sys.exit(RlsweepError.exit_code)
