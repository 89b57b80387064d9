"""What `run` and `submit` are asked for: a spec, and what of an earlier run it begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsweep.cli.app import load_spec

if TYPE_CHECKING:
    from rlsweep.spec import LoadedSpec


class Retry(StrEnum):
    """Which trials of an earlier run are tried again."""

    FAILED = "failed"


Cpu = Annotated[bool, typer.Option("--cpu", help="Use no GPU, whatever the spec says.")]
Supersede = Annotated[
    bool, typer.Option("--supersede", help="Set aside ended trials of another spec of this name.")
]
RetryOption = Annotated[
    Retry | None, typer.Option("--retry", help="Let trials that failed go on from their checkpoints.")
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Go on from checkpoints that others could have written.")
]
Fork = Annotated[
    str | None, typer.Option(metavar="NAME", help="Run it under this name, and begin with what it has done.")
]


@dataclass(frozen=True)
class RunRequest:
    """The command line of `rlsweep run`.

    Attributes:
        spec, profile, overrides: as they stand there.
        cpu, supersede, retry, trust, fork: its flags.
    """

    spec: str
    profile: str | None = None
    overrides: Sequence[str] = ()
    cpu: bool = False
    supersede: bool = False
    retry: Retry | None = None
    trust: bool = False
    fork: str | None = None

    def load(self) -> LoadedSpec:
        """The spec, under the name of the fork if it is one.

        Raises:
            SpecError: everything that is wrong with it.
        """
        own = ["resources.gpus_per_learner=0"] if self.cpu else []
        own += [f"name={self.fork}"] if self.fork else []
        return load_spec(self.spec, self.profile, [*self.overrides, *own])

    def forked_from(self) -> str:
        """Name of the run that a fork begins from; empty where it is none."""
        return replace(self, fork=None).load().sweep.name if self.fork else ""

    def arguments(self) -> list[str]:
        """The same on a cluster, to which the working directory is sent: a path is one within it."""
        spec, path, here = self.spec, Path(self.spec), Path.cwd()
        if path.is_file() and path.resolve().is_relative_to(here):
            spec = str(path.resolve().relative_to(here))
        options = [("--profile", self.profile), *(("--set", one) for one in self.overrides)]
        options += [("--retry", self.retry), ("--fork", self.fork)]
        flags = {"--cpu": self.cpu, "--supersede": self.supersede, "--trust": self.trust}
        said = [part for name, value in options if value for part in (name, str(value))]
        return [spec, *said, *(name for name, is_set in flags.items() if is_set)]
