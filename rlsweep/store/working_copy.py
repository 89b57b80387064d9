"""What of a run in a storage behind a URI is here: histories and state whole, of checkpoints what they say.

Histories are appended to here and sent; checkpoints go from the machines where trials run straight to the
storage, which is therefore asked what there is.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from rlsweep.errors import RunError
from rlsweep.store.layout import RunLayout
from rlsweep.store.remote import Remote, Stamp, at_once
from rlsweep.store.remote_checkpoints import place_checkpoints
from rlsweep.store.sent_files import is_derived, is_state

logger = logging.getLogger(__name__)

WRITER = ".writer"
"""In the storage: the token of the working copy that writes there, or did so last."""

BYTES_PER_SECOND = 500_000
"""A file that grows is sent whole: one of 5 MB every ten seconds, not with every row."""


@dataclass(frozen=True)
class _Pair:
    """A file as it was here and there when the two were the same."""

    here: Stamp
    there: Stamp


class WorkingCopy:
    """The folder of a run here, and the one behind its URI. One process at a time may use it.

    Args:
        layout: of the run.
        remote: of it.
        writes: the run's lock is held: state is sent, and not only what can be made again from it.

    Every method raises `RunError` where the storage cannot be reached.
    """

    def __init__(self, layout: RunLayout, remote: Remote, *, writes: bool = False) -> None:
        self._layout = layout
        self._remote = remote
        self._writes = writes
        self._has_claimed = False
        self._tokens, self._common = _read(layout.sent)
        self._next_sending: dict[str, float] = {}

    def pull(self) -> None:
        """Bring the working copy in line with the storage.

        Where this copy wrote there last, what is here counts, and is sent with the next `push`. Otherwise
        another machine has gone on with the run: its files count, and what has changed here as well moves to
        `superseded/`. What is missing here is fetched in either case.
        """
        self._layout.root.mkdir(parents=True, exist_ok=True)
        there = self._remote.files()
        state = {name: stamp for name, stamp in there.items() if is_state(name)}
        if not state and any(map(is_state, self._common)):
            raise RunError(
                f"{self._remote.uri} has nothing of this run any more; if that is no mistake of an address "
                f"or a profile, delete {self._layout.root} too"
            )
        try:
            if self._is_writer():
                wanted = [name for name in state if not self._here(name).exists()]
            else:
                wanted = [name for name, stamp in state.items() if not self._has(name, stamp)]
                gone = [name for name in self._common if is_state(name) and name not in state]
                for name in (*wanted, *gone):
                    self._make_room(name, state.get(name))
            self._fetch(wanted, there)
            self._common = {name: pair for name, pair in self._common.items() if name in there}
            place_checkpoints(self._layout, self._remote, there)
        finally:
            self._write()

    def push(self, *, all_of_it: bool = False) -> None:
        """Send what has changed here: histories first, the manifest last.

        Args:
            all_of_it: also large files that were sent a short while ago.
        """
        found = {
            name: stamp
            for name in self._files()
            if (is_derived(name) or (self._writes and is_state(name))) and (stamp := _stamp(self._here(name)))
        }
        now = time.monotonic()
        changed = [
            name
            for name, stamp in found.items()
            if (name not in self._common or self._common[name].here != stamp)
            and (all_of_it or now >= self._next_sending.get(name, now))
        ]
        if any(map(is_state, changed)) and not self._claim():  # another machine has taken over
            changed = [name for name in changed if not is_state(name)]
        if not changed:
            return
        manifest = [name for name in changed if name == RunLayout.MANIFEST]
        at_once(self._send, [name for name in changed if name not in manifest])
        at_once(self._send, manifest)
        for name, stamp in self._remote.stamps(changed).items():
            self._common[name] = _Pair(found[name], stamp)
            self._next_sending[name] = now + found[name].bytes / BYTES_PER_SECOND
        self._write()

    def _claim(self) -> bool:
        """Be the one that writes there, from the first time on; whether it still is.

        The token is a new one each time: a copy of this folder from before, put back from a backup, is not
        taken for the newest. Noted here first, beside the one before: either may be there if this fails.
        """
        if self._has_claimed:
            return self._is_writer()
        token = uuid.uuid4().hex
        self._tokens = [*self._tokens[:1], token]
        self._write()
        self._remote.write(WRITER, token.encode())
        self._tokens = [token]
        self._has_claimed = True
        return True

    def _is_writer(self) -> bool:
        return (self._remote.read(WRITER) or b"").decode(errors="replace") in self._tokens

    def _here(self, name: str) -> Path:
        return self._layout.root / name

    def _files(self) -> Iterable[str]:
        """All that lies here and may be sent."""
        for folder, folders, files in os.walk(self._layout.root):
            folders[:] = [one for one in folders if not RunLayout.CHECKPOINT.fullmatch(one)]
            yield from (self._layout.name_of(Path(folder) / one) for one in files)

    def _has(self, name: str, there: Stamp) -> bool:
        return name in self._common and self._common[name].there == there and self._here(name).exists()

    def _make_room(self, name: str, there: Stamp | None) -> None:
        """For what the storage has instead, or has no more; what was not sent from here is set aside."""
        path, known = self._here(name), self._common.get(name)
        here = _stamp(path)
        if here is None or (there is not None and here.bytes == there.bytes):
            return
        if known is not None and known.here == here:
            path.unlink()
            return
        target = self._layout.superseded / f"{name.replace('/', '-')}-{uuid.uuid4().hex[:8]}"
        target.parent.mkdir(exist_ok=True)
        path.replace(target)
        logger.warning("another machine has gone on; your %s, which it did not know, is now %s", path, target)

    def _send(self, name: str) -> None:
        try:
            self._remote.send(self._here(name), name)
        except FileNotFoundError:  # it has gone meanwhile
            return

    def _fetch(self, names: Iterable[str], there: Mapping[str, Stamp]) -> None:
        def fetch(name: str) -> None:
            if self._remote.fetch(name, self._here(name), there[name]) and (here := _stamp(self._here(name))):
                self._common[name] = _Pair(here, there[name])

        at_once(fetch, names)

    def _write(self) -> None:
        files = {name: [*astuple(pair.here), *astuple(pair.there)] for name, pair in self._common.items()}
        partial = self._layout.sent.with_suffix(".partial")
        partial.write_text(json.dumps({"tokens": self._tokens, "files": files}), "utf-8")
        partial.replace(self._layout.sent)


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return Stamp(found.st_size, found.st_mtime)


def _read(path: Path) -> tuple[list[str], dict[str, _Pair]]:
    """A copy's tokens, and what it has in common; nothing where that is damaged or there is none."""
    try:
        noted = json.loads(path.read_text("utf-8"))
        pairs = {
            name: _Pair(Stamp(*numbers[:2]), Stamp(*numbers[2:])) for name, numbers in noted["files"].items()
        }
        return [str(token) for token in noted["tokens"]], pairs
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return [], {}
