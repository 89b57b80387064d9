"""A replay buffer in one file: named numpy arrays one after the other, compressed by zstandard, no pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow

from rlsweep.rl.replay import UniformReplay

_CODEC = "zstd"


def write_replay(path: Path, replay: UniformReplay) -> None:
    """Write all that a buffer holds, a piece at a time: nothing is copied in memory.

    Args:
        path: of the file, which is replaced.
        replay: the buffer.
    """
    state = replay.get_state()
    with pyarrow.CompressedOutputStream(str(path), _CODEC) as stream:
        for array in (np.array(list(state)), *state.values()):
            np.lib.format.write_array(stream, array, allow_pickle=False)


def read_replay(path: Path, replay: UniformReplay) -> None:
    """Make a buffer hold what was written, or the newest of it where it is smaller.

    Args:
        path: of the file that `write_replay` made.
        replay: a buffer of the same environment; what it held is forgotten.

    Raises:
        OSError, ValueError: the file cannot be read, or is none of these.
    """
    with pyarrow.CompressedInputStream(str(path), _CODEC) as stream:
        names = np.lib.format.read_array(stream, allow_pickle=False)
        state = {str(name): np.lib.format.read_array(stream, allow_pickle=False) for name in names}
    replay.set_state(state)
