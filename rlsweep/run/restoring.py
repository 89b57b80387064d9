"""The checkpoint that a trial is told to go on from, wherever it lies, and those before it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pyarrow.fs import FileSelector, FileType
from ray.tune import Checkpoint

from rlsweep.store.checkpoint import first_whole
from rlsweep.store.layout import RunLayout


@contextmanager
def whole_checkpoint(address: str) -> Iterator[Path | None]:
    """The folder, for the time of the block, of a checkpoint, or of one before it where that is damaged.

    Args:
        address: path or URI of its folder.

    Yields:
        None where it is not there: it has been thinned.

    Raises:
        RunError: none of them is whole; what is wrong with the first.
    """
    place = Checkpoint(address)
    if place.filesystem.get_file_info(place.path).type != FileType.Directory:
        yield None
        return
    with closing(_brought((place, *_older(place)))) as folders:
        yield first_whole(folders)


def _brought(places: Iterable[Checkpoint]) -> Generator[Path, None, None]:
    """Each as a folder here, until the next one is asked for."""
    for place in places:
        with place.as_directory() as folder:
            yield Path(folder)


def _older(place: Checkpoint) -> list[Checkpoint]:
    """Checkpoints of the same trial before one, the newest first."""
    trial, _, name = place.path.rpartition("/")
    infos = place.filesystem.get_file_info(FileSelector(trial))
    names = RunLayout.in_order(info.base_name for info in infos)
    before = names[: names.index(name)] if name in names else []
    return [Checkpoint(f"{trial}/{one}", place.filesystem) for one in reversed(before)]
