"""What the commands share: the app, the words of the command line, and how errors find their place."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rlsweep.errors import PreflightError, SpecError, UsageError, did_you_mean, nearest
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.mirror import bring

if TYPE_CHECKING:
    from rlsweep.plan.summary import Summary
    from rlsweep.spec import LoadedSpec

app = typer.Typer(
    name="rlsweep",
    help="One YAML file -> a Ray Tune sweep of RLlib agents. Data on stdout, messages on stderr.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
messages = Console(stderr=True, width=None if sys.stderr.isatty() else 160, highlight=False)
data = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
"""stderr and stdout."""

MAX_TRIALS_SHOWN = 50
"""More lines than this nobody reads; `--json` has them all."""

Spec = Annotated[str, typer.Argument(help="A spec: a path, or the name of a file in sweeps/.")]
Run = Annotated[str, typer.Argument(help="Name of a run, a folder of the storage.")]
Profile = Annotated[str | None, typer.Option(help="A profile of the spec, for example smoke.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="A value laid over the spec: search.trials=4")
]


def _storage(place: str | Storage) -> Storage:
    """What the option says; its default is one already."""
    return place if isinstance(place, Storage) else Storage.at(place)


StorageOption = Annotated[
    Storage,
    typer.Option(
        "--storage",
        envvar="RLSWEEP_STORAGE",
        parser=_storage,
        metavar="FOLDER|URI",
        help="Where all runs lie: a folder, or s3://bucket/folder.",
    ),
]
DEFAULT_STORAGE = Storage()
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def load_spec(spec: str, profile: str | None, overrides: list[str] | None) -> LoadedSpec:
    """Read a spec as the command line names it.

    Raises:
        SpecError: everything that is wrong with it.
    """
    from rlsweep.spec import load

    return load(spec, profile=profile, overrides=overrides or [])


@contextmanager
def located(loaded: LoadedSpec) -> Iterator[None]:
    """Put file, line and column before an error that names a key of the spec, found after loading."""
    try:
        yield
    except PreflightError as error:
        if not error.key:
            raise
        raise PreflightError(f"{loaded.location(error.key)}: {error}", error.key) from error
    except SpecError as error:
        issues = [replace(issue, location=loaded.location(issue.location.source)) for issue in error.issues]
        raise SpecError(issues) from error


def is_uri(name: str) -> bool:
    """Whether it names something in MLflow."""
    return name.startswith(("models:/", "runs:/"))


def run_layout(run: str, storage: Storage) -> RunLayout:
    """Where a run lies, by its name, or by `models:/…` or `runs:/…` that came of it; brought here to be read.

    Raises:
        UsageError: there is none of that name.
        RunError: MLflow does not know the URI, or the storage cannot be reached.
    """
    if is_uri(run):  # MLflow takes a second to import
        from rlsweep.run.sources import run_name_of

        run = run_name_of(run, storage)
    known = storage.run_names()
    if run in known:
        layout = storage.run(run)
        bring(layout)
        return layout
    hint = did_you_mean(nearest(run, known))
    raise UsageError(f"no run {run!r} in {storage}; there are: {', '.join(known) or 'none'}{hint}")


def experiment_layout(run: str, storage: Storage) -> RunLayout:
    """Where a run of ours lies, or any folder with trials of Ray Tune.

    Raises:
        UsageError: neither is there.
    """
    from analysis.foreign import is_experiment

    folder = Path(run)
    if run not in storage.run_names() and is_experiment(folder):
        return RunLayout(folder)
    return run_layout(run, storage)


def print_json(content: Any) -> None:
    """One JSON value on stdout; null where a number is none."""
    print(to_json(content, inf_nan_mode="null").decode())


def print_table(header: list[str], lines: list[list[str]], console: Console = data) -> None:
    """A table as wide as the terminal."""
    table = Table(*header)
    for line in lines:
        table.add_row(*map(escape, line))
    console.print(table)


def print_summary(summary: Summary, console: Console) -> None:
    """What a plan will run and cost."""
    trials = summary.plan.trials
    if trials:
        lines = [
            [trial.id, f"{trial.sweep.stop.env_steps:,}", json.dumps(trial.resources.bundles)]
            for trial in trials[:MAX_TRIALS_SHOWN]
        ]
        print_table(["trial", "env steps", "bundles"], lines, console)
    if len(trials) > MAX_TRIALS_SHOWN:
        console.print(f"… and {len(trials) - MAX_TRIALS_SHOWN:,} more trials")
    differences = [[one.name, _shown(one.value), _shown(one.default)] for one in summary.differences]
    print_table(["hyperparameter", "here", "RLlib's default"], differences, console)
    for name, text in summary.lines:
        console.print(f"{name:>16}  {text}", soft_wrap=True, markup=False)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
