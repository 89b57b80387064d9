"""Who else could have written a checkpoint: it holds pickled Python, which runs as it is loaded.

Looked at are owners, modes, groups and POSIX access-control lists, as this machine shows them.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from rlsweep.errors import PreflightError

MAX_SHOWN = 5
"""More places than these nobody needs to see that something is wrong."""

ROOT = 0
_ACL = "system.posix_acl_access"


def check_trusted(checkpoints: Iterable[Path], storage: Path) -> None:
    """Refuse checkpoints that others could have changed or put there.

    Args:
        checkpoints: their folders.
        storage: that they lie in.

    Raises:
        PreflightError: others can write to one of them, or to a folder that decides about one.
    """
    found = other_writers(checkpoints, storage)
    if found:
        raise PreflightError(
            "checkpoints hold pickled Python, which runs as it is loaded, and others can change these:\n"
            f"{in_words(found)}\n"
            f"take that right from them (chmod -R go-w {storage}, or chown), or say --trust if you trust them"
        )


def in_words(found: dict[Path, str]) -> str:
    """A line for each place, for the first of them."""
    lines = [f"  {path}: {who} can write there" for path, who in list(found.items())[:MAX_SHOWN]]
    more = len(found) - MAX_SHOWN
    return "\n".join([*lines, *([f"  and {more} more places"] if more > 0 else [])])


def other_writers(folders: Iterable[Path], storage: Path, *, content: bool = True) -> dict[Path, str]:
    """Where others than this user and root can write.

    Looked at are every folder and symbolic link on the way to the folders. Above the storage owners are not
    asked for, and a folder like /tmp is fine: there only owners rename what is theirs.

    Args:
        folders: that are there.
        storage: that they lie in.
        content: everything in the folders is looked at too.

    Returns:
        Path -> who can write there, in words.
    """
    above = {*storage.absolute().parents, *storage.resolve().parents}
    inside = storage.resolve()
    found: dict[Path, str] = {}
    for folder in folders:
        for path in _way_to(folder.absolute()):
            is_inside = path.resolve().is_relative_to(inside)
            who = _others(path, ask_owner=path not in above, allow_sticky=not is_inside)
            found |= {path: who} if who else {}
        for path in _content(folder) if content else ():
            who = "whoever owns what this link leads to" if path.is_symlink() else _others(path)
            found |= {path: who} if who else {}
    return found


def _way_to(path: Path) -> Iterator[Path]:
    """Every folder and link that decides what a path leads to, and its end."""
    for part in [*reversed(path.parents), path]:
        yield part
        if part.is_symlink():
            yield from _way_to(part.parent / part.readlink())


def _content(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, onerror=_raise):
        yield from (Path(place) / name for name in (*folders, *files))


def _raise(error: OSError) -> None:
    raise error


def _others(path: Path, *, ask_owner: bool = True, allow_sticky: bool = False) -> str:
    """Who else can write to a file or a folder; empty for nobody."""
    found = path.lstat()
    if ask_owner and found.st_uid not in (ROOT, os.geteuid()):
        return f"its owner {_user(found.st_uid)}"
    if stat.S_ISLNK(found.st_mode) or (allow_sticky and found.st_mode & stat.S_ISVTX):
        return ""
    if found.st_mode & stat.S_IWOTH:
        return "everyone"
    if not found.st_mode & stat.S_IWGRP:
        return ""
    return "somebody in its access-control list" if _has_acl(path) else _group(found.st_gid)


def _has_acl(path: Path) -> bool:
    """Where there is one, the mode's bits for the group stand for all that are named in it."""
    try:
        return bool(os.getxattr(path, _ACL))
    except (AttributeError, OSError):  # another system, or no list
        return False


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@cache
def _group(gid: int) -> str:
    """A group and its other members, in words; empty where it has none, as a user's private group."""
    try:
        name, members = grp.getgrgid(gid).gr_name, set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        return f"group {gid}"
    members |= {user.pw_name for user in pwd.getpwall() if user.pw_gid == gid}
    others = sorted(members - {_user(ROOT), _user(os.geteuid())})
    return f"group {name} ({', '.join(others)})" if others else ""
