"""The exception tree of rlsweep. Every error that a user can cause is one of these.

RlsweepError                exit 1   base; never raised itself
├── SpecError               exit 2   the spec says something that cannot be: all issues at once
├── UsageError              exit 2   the command line names something that does not exist
├── PreflightError          exit 4   the spec is right, but this machine cannot run it
├── TrialsFailedError       exit 3   the sweep ended, some trials failed
├── SweepInterruptedError   exit 130 Ctrl-C, 143 another signal; the same command goes on
├── RunError                exit 1   a run folder cannot be read or does not hold what was asked for
└── BundleError             exit 1   a policy bundle is broken or was made for something else

`exit_code` is the exit status of the command line for that error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from signal import SIGINT

__all__ = [
    "BundleError",
    "Issue",
    "Location",
    "PreflightError",
    "RlsweepError",
    "RunError",
    "SpecError",
    "SweepInterruptedError",
    "TrialsFailedError",
    "UsageError",
    "did_you_mean",
    "nearest",
]


@dataclass(frozen=True)
class Location:
    """A place in a file (line and column from 1), or on the command line (line 0)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong in a spec.

    Attributes:
        location: where the offending key or value was written.
        message: what is wrong.
        allowed: what would be right there; empty when the message says it.
        suggestion: the nearest valid name; empty when none is near.
    """

    location: Location
    message: str
    allowed: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        parts = [f"{self.location}: {self.message}"]
        if self.allowed:
            parts.append(f"allowed: {self.allowed}")
        return "; ".join(parts) + did_you_mean(self.suggestion)


class RlsweepError(Exception):
    """Base of all errors that rlsweep reports without a traceback."""

    exit_code = 1


class SpecError(RlsweepError):
    """A spec that cannot be run as written.

    Attributes:
        issues: everything that is wrong, in the order of the files.
    """

    exit_code = 2

    def __init__(self, issues: Sequence[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("\n".join(map(str, self.issues)))


class UsageError(RlsweepError):
    """The command line asks for something that does not exist."""

    exit_code = 2


class PreflightError(RlsweepError):
    """The spec is valid, but this machine or cluster cannot run it.

    Attributes:
        key: dotted path of the spec's key that asks for too much; empty when it is none of them.
    """

    exit_code = 4

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class TrialsFailedError(RlsweepError):
    """The sweep ran to its end, but some trials failed."""

    exit_code = 3


class SweepInterruptedError(RlsweepError):
    """A signal stopped the sweep; the same command goes on.

    Args:
        message: what stands.
        signal: its number; the exit code is 128 more.
    """

    exit_code = 130

    def __init__(self, message: str, signal: int = SIGINT) -> None:
        super().__init__(message)
        self.exit_code = 130 if signal == SIGINT else 143


class RunError(RlsweepError):
    """A run folder is missing, unreadable, or does not hold what was asked for."""


class BundleError(RlsweepError):
    """A policy bundle is incomplete, damaged, or of another version."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """The valid name most like `name`, or the empty string when none is near."""
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else ""


def did_you_mean(guess: str) -> str:
    """The end of a message that suggests a name: `; did you mean 'lr'?`; nothing where there is no guess."""
    return f"; did you mean {guess!r}?" if guess else ""
