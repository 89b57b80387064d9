"""A network for one test, in which nothing is but 127.0.0.1."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
"""Of Linux: <linux/sched.h>, <linux/sockios.h>, <linux/if.h>."""


@contextmanager
def own_network() -> Iterator[None]:
    """For the time of the block this thread, and every process that it starts, is in a network of its own.

    Ports that others have taken are free there, nobody else reaches what listens there, and /proc/net shows
    that alone. Python's `os.unshare` came with 3.12.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET):
            pytest.skip(f"needs a network namespace of its own: {os.strerror(ctypes.get_errno())}")
        try:
            with socket.socket() as any_socket:
                fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
            yield
        finally:
            libc.setns(before, CLONE_NEWNET)
    finally:
        os.close(before)
