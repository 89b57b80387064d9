"""What of a run in a storage behind a URI is here: histories and state whole, of checkpoints what they say.

Histories are appended to here and sent; checkpoints go from the machines where trials run straight to the
storage, which is therefore asked what there is.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rlsweep.store.layout import RunLayout
from rlsweep.store.remote import Remote, Stamp, at_once
from rlsweep.store.remote_checkpoints import place_checkpoints
from rlsweep.store.sent_files import is_derived, is_state

logger = logging.getLogger(__name__)

WRITER = ".writer"
"""In the storage: the working copy that wrote there last."""


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

    Every method raises `RunError` where the storage cannot be reached.
    """

    def __init__(self, layout: RunLayout, remote: Remote) -> None:
        self._layout = layout
        self._remote = remote
        self._id, self._common = _read(layout.sent)

    def pull(self) -> None:
        """Bring the working copy in line with the storage.

        Where this copy wrote there last, what is here counts, and is sent with the next `push`. Otherwise
        another machine has gone on with the run: its files count, and what has changed here as well moves to
        `superseded/`.
        """
        self._layout.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        there = self._remote.files()
        is_newest = self._is_writer()
        state = {name: stamp for name, stamp in there.items() if is_state(name)}
        wanted = [name for name, stamp in state.items() if not self._has(name, stamp, is_newest=is_newest)]
        if not is_newest:
            for name in wanted:
                self._set_aside(name, state[name])
            for name in [name for name in self._common if is_state(name) and name not in there]:
                self._here(name).unlink(missing_ok=True)
                del self._common[name]
        self._fetch(wanted, there)
        place_checkpoints(self._layout, self._remote, there)
        self._write()

    def claim(self) -> None:
        """Be the one that writes there."""
        self._remote.write(WRITER, self._id.encode())

    def push(self) -> None:
        """Send what has changed here: histories first, the manifest last.

        Only what can be made again where another copy writes there.
        """
        is_writer = self._is_writer()
        found = {
            name: _stamp(self._here(name))
            for name in self._files()
            if is_derived(name) or (is_writer and is_state(name))
        }
        changed = [one for one in found if one not in self._common or self._common[one].here != found[one]]
        first, last = [one for one in changed if one != RunLayout.MANIFEST], [RunLayout.MANIFEST]
        for names in (first, last if len(first) < len(changed) else []):
            at_once(lambda name: self._remote.send(self._here(name), name), names)
        for name, stamp in self._remote.stamps(changed).items():
            self._common[name] = _Pair(found[name], stamp)
        if is_writer:
            for name in [name for name in self._common if not self._here(name).exists()]:
                self._remote.delete(name)
                del self._common[name]
        self._write()

    def _is_writer(self) -> bool:
        return self._remote.read(WRITER) == self._id.encode()

    def _here(self, name: str) -> Path:
        return self._layout.root / name

    def _files(self) -> Iterable[str]:
        """All that lies here and may be sent."""
        for folder, folders, files in os.walk(self._layout.root):
            folders[:] = [one for one in folders if not RunLayout.CHECKPOINT.fullmatch(one)]
            yield from (self._layout.name_of(Path(folder) / one) for one in files)

    def _has(self, name: str, stamp: Stamp, *, is_newest: bool) -> bool:
        """Whether a file need not be fetched; one that was deleted here is not where this copy is newest."""
        known = self._common.get(name)
        if is_newest:
            return known is not None or self._here(name).exists()
        return known is not None and known.there == stamp and self._here(name).exists()

    def _set_aside(self, name: str, there: Stamp) -> None:
        path, known = self._here(name), self._common.get(name)
        if not path.exists() or _stamp(path).bytes == there.bytes or (known and known.here == _stamp(path)):
            return
        target = self._layout.superseded / f"{name.replace('/', '-')}-{uuid.uuid4().hex[:8]}"
        target.parent.mkdir(exist_ok=True)
        path.replace(target)
        logger.warning("another machine has gone on; your %s, which it did not know, is now %s", path, target)

    def _fetch(self, names: Iterable[str], there: Mapping[str, Stamp]) -> None:
        names = list(names)
        at_once(lambda name: self._remote.fetch(name, self._here(name), there[name]), names)
        for name in names:
            self._common[name] = _Pair(_stamp(self._here(name)), there[name])

    def _write(self) -> None:
        partial = self._layout.sent.with_suffix(".partial")
        common = {name: asdict(pair) for name, pair in self._common.items()}
        partial.write_text(json.dumps({"id": self._id, "files": common}), "utf-8")
        partial.replace(self._layout.sent)


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return Stamp(found.st_size, found.st_mtime)


def _read(path: Path) -> tuple[str, dict[str, _Pair]]:
    """A copy's id, and what it has in common; a new copy where that is damaged or there is none."""
    try:
        noted = json.loads(path.read_text("utf-8"))
        pairs = {
            name: _Pair(Stamp(**pair["here"]), Stamp(**pair["there"]))
            for name, pair in noted["files"].items()
        }
        return str(noted["id"]), pairs
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return uuid.uuid4().hex, {}
