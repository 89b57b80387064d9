"""Whether the installed libraries are those that rlsweep asks for."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Mapping
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from rlsweep.run.doctor_finding import Finding, Level

SUBJECT = "versions"
RLSWEEP = "rlsweep"
PYTHON = "Python"

LIBRARIES = ("ray", "torch", "gymnasium", "ale-py", "optuna", "mlflow", "pandas")
"""Those whose versions decide whether a sweep runs; pip looks after the others."""


def version_findings() -> list[Finding]:
    """Compare what is installed with the requirements in the metadata of the distribution `rlsweep`."""
    try:
        distribution = metadata.distribution(RLSWEEP)
    except metadata.PackageNotFoundError:
        text = f"rlsweep is not installed for {sys.executable}, so nothing says which versions it needs"
        return [Finding(Level.PROBLEM, SUBJECT, text, f"{_pip()} --editable . (in the checkout of rlsweep)")]
    found = {name: _installed(name) for name in LIBRARIES}
    wanted = wanted_versions(distribution.requires or [], distribution.metadata["Requires-Python"] or "")
    own = f"{RLSWEEP} {distribution.version}"
    return judge_versions({PYTHON: platform.python_version(), **found}, wanted, own)


def wanted_versions(requirements: list[str], python: str) -> dict[str, SpecifierSet]:
    """Library -> versions that will do; requirements of the extras (dev, bench …) do not count."""
    parsed = map(Requirement, requirements)
    here = [one for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return {PYTHON: SpecifierSet(python)} | {one.name: one.specifier for one in here}


def judge_versions(
    found: Mapping[str, str | None], wanted: Mapping[str, SpecifierSet], own: str
) -> list[Finding]:
    """One finding for all that fit, one for each that does not.

    Args:
        found: library -> its version, None where it is not installed.
        wanted: library -> versions that will do.
        own: `rlsweep 0.1.0`.
    """
    bad = [name for name, version in found.items() if not _fits(version, wanted.get(name, SpecifierSet()))]
    good = ", ".join(f"{name} {version}" for name, version in found.items() if name not in bad)
    return [
        *(_misfit(name, found[name], wanted[name]) for name in bad),
        Finding(Level.OK, SUBJECT, f"as {own} asks for: {good or 'nothing'}"),
    ]


def _fits(version: str | None, wanted: SpecifierSet) -> bool:
    return version is not None and wanted.contains(version, prereleases=True)


def _misfit(name: str, version: str | None, wanted: SpecifierSet) -> Finding:
    if name == PYTHON:
        remedy = f"make the virtual environment anew with a Python {wanted}"
    else:
        remedy = f"{_pip()} {shlex.quote(f'{name}{wanted}')}"
    here = f"{name} {version} is installed" if version else f"{name} is not installed"
    return Finding(Level.PROBLEM, SUBJECT, f"{here}; rlsweep needs {name} {wanted}".rstrip(), remedy)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _pip() -> str:
    return f"{sys.executable} -m pip install"
