"""What a table was measured on and with."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import ROOT
from benchmarks.measure.stopwatch import cores

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8")
"""Of the processor, that decide how fast a network runs on it and whether bf16 pays."""

LIBRARIES = ("ray", "torch", "gymnasium", "ale-py", "numpy", "opencv-python-headless")
PEER_LIBRARIES = (
    "stable-baselines3",
    "envpool",
    "torch",
    "gymnasium",
    "ale-py",
    "numpy",
    "opencv-python-headless",
)

_VERSIONS = """
import importlib.metadata, json, sys
found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Surroundings:
    """Where and with what the figures were measured.

    Attributes:
        date: day, in UTC.
        commit: of rlsweep; with `+` where files were changed.
        cpu: model; `flags` are those of FLAGS that it has.
        cores: that the process may use.
        gpus: names; empty for none.
        load: mean number of busy processes in the minute before the start: more than a little disturbs.
        versions, peer_versions: by library.
    """

    date: str
    commit: str
    cpu: str
    flags: tuple[str, ...]
    cores: int
    gpus: tuple[str, ...]
    load: float
    versions: dict[str, str]
    peer_versions: dict[str, str]

    def lines(self) -> list[str]:
        """For the reader, below the table."""
        gpus = ", ".join(self.gpus) or "no GPU"
        return [
            f"{self.date}, commit {self.commit}, {self.cpu}, {self.cores} cores "
            f"({' '.join(self.flags) or 'no vector flags known'}), {gpus}, load before {self.load:.1f}",
            f"ours and stock RLlib: {_listed(self.versions)}",
            f"peers: {_listed(self.peer_versions) or 'not installed'}",
        ]


def surroundings(peers: Path) -> Surroundings:
    """Of this machine, now.

    Args:
        peers: the Python of the peers' environment.
    """
    cpuinfo = _read("/proc/cpuinfo")
    return Surroundings(
        date=datetime.now(UTC).date().isoformat(),
        commit=_commit(),
        cpu=cpu_model(cpuinfo),
        flags=cpu_flags(cpuinfo),
        cores=cores(),
        gpus=tuple(_output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()),
        load=os.getloadavg()[0],
        versions=_only(LIBRARIES, _own_versions()),
        peer_versions=_only(PEER_LIBRARIES, json.loads(_output(str(peers), "-c", _VERSIONS) or "{}")),
    )


def cpu_model(cpuinfo: str) -> str:
    """The model's name in the text of /proc/cpuinfo."""
    return _field(cpuinfo, "model name") or "unknown processor"


def cpu_flags(cpuinfo: str) -> tuple[str, ...]:
    """Those of FLAGS that the text of /proc/cpuinfo lists."""
    found = set(_field(cpuinfo, "flags").split())
    return tuple(flag for flag in FLAGS if flag in found)


def _field(cpuinfo: str, name: str) -> str:
    values = (line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith(name))
    return next(values, "")


def _own_versions() -> dict[str, str]:
    return {found.metadata["Name"]: found.version for found in importlib.metadata.distributions()}


def _only(names: Iterable[str], versions: dict[str, str]) -> dict[str, str]:
    known = {_folded(name): version for name, version in versions.items()}
    return {name: known[_folded(name)] for name in names if _folded(name) in known}


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _commit() -> str:
    head = _output("git", "rev-parse", "--short", "HEAD") or "unknown"
    return f"{head}+" if _output("git", "status", "--porcelain", "--untracked-files=no") else head


def _output(*command: str) -> str:
    """What a program prints; nothing where there is none or it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError:
        return ""
