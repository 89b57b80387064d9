"""Something that is done beside the work of a block, again and again until that ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def in_background(act: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """Run a function in a thread for the time of the block.

    Args:
        act: ends soon after the event that it is given is set, which the end of the block does.
        name: of the thread.
    """
    ends = threading.Event()
    thread = threading.Thread(target=act, args=(ends,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()
