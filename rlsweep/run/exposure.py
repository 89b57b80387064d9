"""Who can reach the Ray that is started here: this machine alone, and only who has its token.

Nothing here imports Ray: where it listens is decided while it is imported.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from rlsweep.errors import PreflightError

logger = logging.getLogger(__name__)

_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Where clusters are off, as on macOS, Ray takes 127.0.0.1 for this machine's address. Elsewhere it listens
on every address, with its token, and gives its metrics without."""

_FOLDER = "RAY_TMPDIR"
_FOLDERS = (_FOLDER, "TMPDIR")

_AUTH_MODE = "RAY_AUTH_MODE"
_TOKEN = "token"
_TOKEN_ELSEWHERE = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_MODE_OF_OTHERS = 0o077


def keep_ray_local() -> None:
    """Let the Ray that is started here listen on 127.0.0.1 alone, and keep its files in this user's folder.

    Call it before anything imports Ray. It does nothing where RAY_ADDRESS names a cluster; one that names
    none, blank or `local`, is forgotten.
    """
    if os.environ.get("RAY_ADDRESS", "").strip() not in ("", "local"):
        return
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.setdefault(_CLUSTERS, "0")
    if not any(os.environ.get(name) for name in _FOLDERS):
        os.environ[_FOLDER] = _private_folder()


def make_private_folder() -> None:
    """Make the folder that `keep_ray_local` has named.

    Everybody can write to those that Ray makes, and read its logs. AWS keys stand there: Tune hands them to
    its trials as part of their runtime environment.
    """
    folder = Path(_private_folder())
    if os.environ.get(_FOLDER) != str(folder):
        return
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _MODE_OF_OTHERS:
        del os.environ[_FOLDER]
        logger.warning("%s is not this user's alone: Ray keeps its files where others can write", folder)


def check_exposure(address: str) -> None:
    """See that whoever reaches the Ray that will be started here needs its token.

    Args:
        address: that it will listen on, as Ray says.

    Raises:
        PreflightError: nobody would be asked for it.
    """
    mode = os.environ.get(_AUTH_MODE, _TOKEN).lower()
    if mode != _TOKEN and not ipaddress.ip_address(address).is_loopback:
        raise PreflightError(
            f"{_AUTH_MODE}={mode}, and Ray would listen on {address}: whoever reaches it could run code "
            f"here as you; unset {_AUTH_MODE}, or set {_CLUSTERS}=0"
        )


def keep_token_private(*, make: bool) -> None:
    """See that only this user can read Ray's token.

    Args:
        make: where there is none yet; the one that Ray makes can be read by everybody.
    """
    if any(os.environ.get(name) for name in _TOKEN_ELSEWHERE):
        return
    path = Path.home() / ".ray" / "auth_token"
    try:
        if not path.exists():
            if make and os.environ.get(_AUTH_MODE, _TOKEN).lower() == _TOKEN:
                _make(path)
        elif path.stat().st_mode & _MODE_OF_OTHERS:
            path.chmod(0o600)
            logger.warning(
                "%s could be read by others, who can run code in your Ray with it; now only by you. "
                "Delete it while no Ray runs, and the next one gets a new one",
                path,
            )
    except OSError as error:
        logger.warning("Ray's token in %s cannot be kept from others: %s", path, error)


def _private_folder() -> str:
    return f"/tmp/rlsweep-{os.geteuid()}"  # the paths of sockets must be short


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(secrets.token_hex(32))
