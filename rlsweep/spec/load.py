"""`load`: a spec file -> Sweep. What it extends, a profile, `--set` and search spaces are laid over
each other first, and every value keeps the place it was written at."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlsweep.errors import Issue, Location, SpecError, nearest
from rlsweep.spec.assembly import SWEEPS_DIR, Assembly
from rlsweep.spec.overrides import names_search_space
from rlsweep.spec.source import Document
from rlsweep.spec.sweep import Sweep
from rlsweep.spec.validate import key_path, validate


@dataclass(frozen=True)
class LoadedSpec:
    """A sweep and the places that its values were written at.

    Attributes:
        profiles: names of all profiles of the spec.
        files: the spec, what it extends and its search spaces, as they lie on disk with their comments.
    """

    sweep: Sweep
    document: Document
    profiles: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    def location(self, dotted: str) -> Location:
        """Where the key `a.b.c` was written, or the nearest section round it."""
        return self.document.location(key_path(dotted))


def load(
    spec: str | Path,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    root: Path = Path(),
) -> LoadedSpec:
    """Read a spec and everything it refers to.

    Args:
        spec: a path, or the name of a file in sweeps/.
        profile: name of one of the spec's `profiles`.
        overrides: `a.b=value` each, the value in YAML, laid over everything else.
        root: the directory that holds sweeps/ and search_spaces/.

    Raises:
        SpecError: with every issue found, each with file, line and column.
    """
    assembly = Assembly(root)
    document = assembly.read_with_parents(find_spec(spec, root), ())
    profiles = assembly.apply_profile(document, profile)
    of_spaces = [override for override in overrides if names_search_space(override)]
    for override in of_spaces:
        assembly.apply_override(document, override)
    assembly.merge_search_spaces(document)
    for override in overrides:
        if override not in of_spaces:
            assembly.apply_override(document, override)
    sweep, issues = validate(document)
    if assembly.issues:  # a key that is missing may stand in what could not be read
        issues = [issue for issue in issues if not issue.message.endswith("is missing")]
    issues = assembly.issues + issues
    if issues or sweep is None:
        raise SpecError(_in_order(issues))
    return LoadedSpec(sweep, document, profiles, tuple(assembly.files))


def load_all_profiles(spec: str | Path, overrides: Sequence[str] = (), root: Path = Path()) -> LoadedSpec:
    """Load a spec without a profile and with each of its profiles, to check them all.

    Returns:
        The spec without a profile.

    Raises:
        SpecError: with the issues of all of them, each once.
    """
    issues: list[Issue] = []
    try:
        plain: LoadedSpec | None = load(spec, overrides=overrides, root=root)
    except SpecError as error:
        plain, issues = None, list(error.issues)
    for profile in plain.profiles if plain else _profile_names(spec, root):
        try:
            load(spec, profile=profile, overrides=overrides, root=root)
        except SpecError as error:
            issues += error.issues
    if issues or plain is None:
        raise SpecError(_in_order(issues))
    return plain


def _profile_names(spec: str | Path, root: Path) -> list[str]:
    """The profiles of a spec that has mistakes; none where it cannot be read."""
    try:
        document = Assembly(root).read_with_parents(find_spec(spec, root), ())
    except SpecError:
        return []
    profiles = document.data.get("profiles")
    return [str(name) for name in profiles] if isinstance(profiles, dict) else []


def find_spec(spec: str | Path, root: Path = Path()) -> Path:
    """The file a spec's name stands for: the path itself, or that name in sweeps/.

    Raises:
        SpecError: neither exists.
    """
    candidates = [Path(spec), root / SWEEPS_DIR / spec, root / SWEEPS_DIR / f"{spec}.yaml"]
    for candidate in candidates:
        with contextlib.suppress(OSError, ValueError):  # a name too long for the file system, or with a NUL
            if candidate.is_file():
                return candidate
    known = sorted(path.name for path in (root / SWEEPS_DIR).glob("*.yaml"))
    message = f"no such spec, neither as a path nor in {SWEEPS_DIR}/"
    raise SpecError([Issue(Location(str(spec)), message, ", ".join(known), nearest(str(spec), known))])


def _in_order(issues: list[Issue]) -> list[Issue]:
    """Each once, in the order of the files."""
    unique = list({str(issue): issue for issue in issues}.values())
    return sorted(
        unique, key=lambda issue: (issue.location.source, issue.location.line, issue.location.column)
    )
