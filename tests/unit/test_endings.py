"""How trials stand, in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rlsweep.store.endings import in_words, short_count
from rlsweep.store.failures import Failure
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import TrialRecord


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("finished", "finished"),
        ("stopped", "stopped early by asha at 1.2M env steps"),
        ("failed", "failed (environment, tried again 3 times): ValueError: it broke"),
        ("interrupted", "interrupted"),
    ],
)
def test_a_status_says_what_happened(status: str, words: str, tmp_path: Path) -> None:
    failed = Failure("environment", "ValueError: it broke", 0.0, 100, tried=3, max_retries=3)
    lines = replace(failed, reason="an earlier one", retry=1).line() + failed.line() + failed.line()[:20]
    (tmp_path / RunLayout.FAILURES_JSON).write_text(lines)
    record = TrialRecord("a", "a", {}, 0, "hash", status=status)
    assert in_words(record, "asha", 1_203_000, tmp_path) == words


def test_a_failure_without_a_trace_is_still_one(tmp_path: Path) -> None:
    assert in_words(TrialRecord("a", "a", {}, 0, "hash", status="failed"), "fifo", 0, tmp_path) == "failed"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1234, "1.23k"), (20_000, "20k"), (1_234_567, "1.23M")]
)
def test_counts_have_three_digits(count: int, text: str) -> None:
    assert short_count(count) == text
