"""What lies on disk: every name under `runs/`, in one place."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rlsweep.errors import RunError
from rlsweep.store.remote import Remote, is_remote

DEFAULT_STORAGE = Path("runs")


@dataclass(frozen=True)
class RunLayout:
    """Paths of one sweep.

    Attributes:
        root: `runs/<sweep name>`; its working copy here, where the storage lies behind a URI.
        remote: the folder of the storage then; None where `root` is it.
    """

    root: Path
    remote: Remote | None = None

    MANIFEST = "sweep.json"
    RESULT_JSON = "result.json"
    PROGRESS_CSV = "progress.csv"
    PARAMS_JSON = "params.json"
    ERROR_TXT = "error.txt"
    FAILURES_JSON = "failures.json"
    LINEAGE_JSON = "lineage.json"
    DIAGNOSIS_JSON = "diagnosis.json"
    CHECKPOINT = re.compile(r"checkpoint_(?:(?P<attempt>\d+)-)?(?P<index>\d+)")
    CHECKPOINT_MANIFEST = "MANIFEST.json"
    POLICY = "policy"

    @property
    def manifest(self) -> Path:
        """`sweep.json`: what this run is."""
        return self.root / self.MANIFEST

    @property
    def manifest_before(self) -> Path:
        """`.sweep.json`: what stood in the manifest before it was written last."""
        return self.root / ".sweep.json"

    @property
    def spec(self) -> Path:
        """`spec/`: the files that the last run was started from, comments and all."""
        return self.root / "spec"

    @property
    def report(self) -> Path:
        """`report/`: can be deleted, `rlsweep report` writes it again."""
        return self.root / "report"

    @property
    def best(self) -> Path:
        """`best/`: the policy bundle that `rlsweep best` exported last."""
        return self.root / "best"

    @property
    def remembered_rows(self) -> Path:
        """`.read/`: the rows as they were read last; can be deleted, they are read again."""
        return self.root / ".read"

    @property
    def superseded(self) -> Path:
        """`superseded/`: histories that no longer count."""
        return self.root / "superseded"

    @property
    def study(self) -> Path:
        """`study.log`: the run as a study of Optuna; `rlsweep report` writes it again."""
        return self.root / "study.log"

    @property
    def sent(self) -> Path:
        """`.sent.json`: what a working copy has in common with its storage."""
        return self.root / ".sent.json"

    @property
    def working_copy_lock(self) -> Path:
        """`.working-copy.lock`: held while a working copy is brought in line with its storage."""
        return self.root / ".working-copy.lock"

    @property
    def lock(self) -> Path:
        """`.lock`: held while a sweep runs here."""
        return self.root / ".lock"

    @property
    def owner(self) -> Path:
        """`.owner.json`: who holds the lock; its time of change is their last sign of life."""
        return self.root / ".owner.json"

    def trial(self, trial_id: str) -> Path:
        """The folder of one trial.

        Raises:
            RunError: the id, perhaps of a manifest that somebody has changed, names no folder of this run.
        """
        if not is_name(trial_id):
            raise RunError(f"{self.root}: no trial can be called {trial_id!r}")
        return self.root / trial_id

    def result_json(self, trial_id: str) -> Path:
        """One JSON row per iteration, append-only: the truth."""
        return self.trial(trial_id) / self.RESULT_JSON

    def name_of(self, path: Path) -> str:
        """What a file or folder of this run is called from here, with slashes."""
        return path.relative_to(self.root).as_posix()

    def address(self, path: Path) -> str:
        """Where every machine finds something of this run: an absolute path, or a URI."""
        return self.remote.uri_of(self.name_of(path)) if self.remote else str(path.resolve())

    def checkpoints(self, trial_id: str) -> list[Path]:
        """The whole checkpoints of a trial (those with a manifest), oldest first.

        Of one in a storage behind a URI only manifest and progress are here (`store.working_copy`).
        """
        return [
            path for path in self.checkpoint_folders(trial_id) if (path / self.CHECKPOINT_MANIFEST).is_file()
        ]

    def checkpoint_folders(self, trial_id: str) -> list[Path]:
        """Folders of checkpoints, whole or not, oldest first.

        `checkpoint_1-000004` is of the first attempt, which was interrupted, `checkpoint_000002` of this one.
        """
        folder = self.trial(trial_id)
        return [folder / name for name in self.in_order(path.name for path in folder.glob("checkpoint_*"))]

    @classmethod
    def in_order(cls, names: Iterable[str]) -> list[str]:
        """Those of names that are of checkpoints, oldest first."""
        found = {name: match for name in names if (match := cls.CHECKPOINT.fullmatch(name))}
        return sorted(found, key=lambda name: _age(found[name]))


def is_name(text: str) -> bool:
    """Whether it names something in a folder, and nothing outside of it."""
    return text not in ("", ".", "..") and not {"/", "\0"} & set(text)


def _age(name: re.Match[str]) -> tuple[float, int]:
    return float(name["attempt"] or "inf"), int(name["index"])


@dataclass(frozen=True)
class Storage:
    """The folder that holds all runs and the embedded MLflow store.

    Attributes:
        root: the folder; where the storage lies behind a URI, that of working copies here.
        remote: the storage behind a URI; None where `root` is it.
    """

    root: Path = DEFAULT_STORAGE
    remote: Remote | None = None

    @classmethod
    def at(cls, place: str | Path) -> Storage:
        """The storage that a path or a URI names.

        Raises:
            UsageError: no library here knows the URI's protocol, or it holds a password.
            PreflightError: the storage cannot be reached.
        """
        if not is_remote(str(place)):
            return cls(Path(place))
        remote = Remote.open(str(place))
        root = _working_copies(str(place))
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(root, remote)

    def __str__(self) -> str:
        return self.remote.uri if self.remote else str(self.root)

    @property
    def address(self) -> str:
        """Where every machine finds it: an absolute path, or a URI."""
        return self.remote.uri if self.remote else str(self.root.resolve())

    def run(self, name: str) -> RunLayout:
        """The layout of the sweep called `name`."""
        return RunLayout(self.root / name, self.remote.at(name) if self.remote else None)

    def run_names(self) -> list[str]:
        """Of every run, in their order.

        Raises:
            RunError: the storage cannot be reached.
        """
        if self.remote is None:
            return sorted(path.parent.name for path in self.root.glob(f"*/{RunLayout.MANIFEST}"))
        manifests = self.remote.stamps(f"{name}/{RunLayout.MANIFEST}" for name in self.remote.folders())
        return sorted(name.partition("/")[0] for name in manifests)

    @property
    def tracking_uri(self) -> str:
        """URI of the embedded MLflow store, a sqlite file."""
        return f"sqlite:///{(self.root / 'mlflow.db').resolve()}"

    @property
    def tracking_lock(self) -> Path:
        """`.mlflow.lock`: held while MLflow's store is opened for the first time."""
        return self.root / ".mlflow.lock"

    @property
    def accounts(self) -> Path:
        """`.accounts/`: users and hashed passwords of `rlsweep ui --auth`."""
        return self.root / ".accounts"

    @property
    def artifacts(self) -> Path:
        """Where the embedded MLflow store keeps artifacts."""
        return (self.root / "artifacts").resolve()


def _working_copies(uri: str) -> Path:
    """The folder of this user for working copies of a storage."""
    uri = uri.rstrip("/")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", uri.partition("?")[0]).strip("_")
    return Path(cache) / "rlsweep" / f"{readable}-{hashlib.sha256(uri.encode()).hexdigest()[:8]}"
