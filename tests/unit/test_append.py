"""Lines that are whole or not there, on a disk that fills up and after a writer that was killed."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlsweep.store.append import Appender


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Sets the largest size of files of this process: as a full disk, write() takes a part and then fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def test_a_line_that_does_not_fit_waits_whole(
    limit: Callable[[int], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, files = tmp_path / "result.json", Appender()
    assert files.is_new(path)
    limit(10)
    for line in ("12345\n", "678901234\n", "5\n"):
        files.append(path, line)
    assert path.read_text() == "12345\n", "nothing of the second line, and not the third before it"
    assert files.flush() == {path: 2}
    assert len(caplog.records) == 1
    limit(resource.RLIM_INFINITY)
    files.append(path, "6\n")
    assert path.read_text() == "12345\n678901234\n5\n6\n"
    assert files.flush() == {}


def test_a_file_that_cannot_be_made_is_new_once(limit: Callable[[int], None], tmp_path: Path) -> None:
    path, files = tmp_path / "progress.csv", Appender()
    limit(0)
    files.append(path, "header\nrow\n")
    assert not files.is_new(path), "its header waits"
    limit(resource.RLIM_INFINITY)
    assert files.flush() == {}
    assert path.read_text() == "header\nrow\n"


@pytest.mark.parametrize("left", ["", "whole\n", "whole\ncut of"])
def test_what_a_killed_writer_left_costs_no_line_after_it(left: str, tmp_path: Path) -> None:
    path, files = tmp_path / "result.json", Appender()
    path.write_text(left)
    files.append(path, "new\n")
    files.append(path, "newer\n")
    assert path.read_text().splitlines() == [*left.splitlines(), "new", "newer"]
