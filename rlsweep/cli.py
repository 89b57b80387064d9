"""`rlsweep …`: one thin function per command. Data on stdout, messages on stderr.

Heavy imports stand inside the functions, so that `validate` and `--help` answer at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from rlsweep.errors import (
    PreflightError,
    RlsweepError,
    SpecError,
    TrialsFailedError,
    UsageError,
    nearest,
)
from rlsweep.store.layout import DEFAULT_STORAGE, RunLayout, Storage
from rlsweep.store.manifest import FAILED

if TYPE_CHECKING:
    from rlsweep.spec import LoadedSpec

app = typer.Typer(
    name="rlsweep",
    help=__doc__.splitlines()[0],
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
messages = Console(stderr=True, highlight=False)

Spec = Annotated[str, typer.Argument(help="A spec: a path, or the name of a file in sweeps/.")]
Run = Annotated[str, typer.Argument(help="Name of a run, a folder of the storage.")]
Profile = Annotated[str | None, typer.Option(help="A profile of the spec, for example smoke.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="A value laid over the spec: search.trials=4")
]
StorageDir = Annotated[Path, typer.Option("--storage", envvar="RLSWEEP_STORAGE", help="Folder of all runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command()
def validate(spec: Spec, profile: Profile = None, overrides: Overrides = None) -> None:
    """Check a spec, without Ray and without running anything."""
    from rlsweep.plan import expand

    loaded = _load(spec, profile, overrides)
    with _located(loaded):
        count = len(expand(loaded.sweep))
    for other in loaded.profiles if profile is None else ():
        unchosen = _load(spec, other, overrides)
        with _located(unchosen):
            expand(unchosen.sweep)
    print(f"{loaded.sweep.name}: valid, {count} configurations x {len(loaded.sweep.seeds)} seeds")


@app.command()
def plan(
    spec: Spec,
    profile: Profile = None,
    overrides: Overrides = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="Of the machine; this one's by default.")] = None,
    gpus: Annotated[float, typer.Option(min=0, max=10_000, help="Of the machine.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Show the trials of a spec and what each takes of the machine."""
    from rlsweep.plan import Machine, make

    loaded = _load(spec, profile, overrides)
    with _located(loaded):
        planned = make(loaded.sweep, Machine(cpus or os.cpu_count() or 1, gpus))
    trials = [
        {
            "id": t.id,
            "values": t.values,
            "seed": t.seed,
            "env_steps": t.sweep.stop.env_steps,
            "bundles": t.resources.bundles,
        }
        for t in planned.trials
    ]
    if as_json:
        print(json.dumps({"name": planned.sweep.name, "env_steps": planned.env_steps, "trials": trials}))
        return
    _print_table(
        ["trial", "env steps", "bundles"],
        [[str(t["id"]), f"{t['env_steps']:,}", json.dumps(t["bundles"])] for t in trials],
    )
    print(f"{len(trials)} trials, {planned.env_steps:,} env steps")


@app.command()
def run(
    spec: Spec,
    profile: Profile = None,
    overrides: Overrides = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Use no GPU, whatever the spec says.")] = False,
    supersede: Annotated[
        bool, typer.Option("--supersede", help="Set aside ended trials of another spec of this name.")
    ] = False,
    storage: StorageDir = DEFAULT_STORAGE,
) -> None:
    """Run a sweep; run again, it skips the trials that have ended."""
    loaded = _load(spec, profile, [*(overrides or []), *(["resources.gpus_per_learner=0"] if cpu else [])])
    from rlsweep.plan import make
    from rlsweep.run.launch import launch, ray_session

    with ray_session() as machine, _located(loaded):
        plan = make(loaded.sweep, machine)
        manifest = launch(plan, Storage(storage), profile=profile or "", supersede=supersede)
    name = loaded.sweep.name
    report(name, storage)
    messages.print(
        f"look: make ui · make report RUN={name} · make rollout RUN={name} GAMES=5", soft_wrap=True
    )
    failed = [record.id for record in manifest.trials if record.status == FAILED]
    if failed:
        layout = Storage(storage).run(name)
        traces = "\n".join(f"  {layout.trial(trial_id) / RunLayout.ERROR_TXT}" for trial_id in failed)
        raise TrialsFailedError(f"{len(failed)} of {len(manifest.trials)} trials failed:\n{traces}")


@app.command()
def report(run: Run, storage: StorageDir = DEFAULT_STORAGE) -> None:
    """Compare the configurations of a run: a table, a page and a figure."""
    from analysis.comparison import compare
    from analysis.history import read_run
    from analysis.report import table, write_report

    layout = _layout(run, storage)
    target = write_report(layout)
    header, *lines = table(compare(read_run(layout)))
    _print_table(header, lines)
    messages.print(f"written: {target}", soft_wrap=True)


@app.command()
def best(run: Run, as_json: AsJson = False, storage: StorageDir = DEFAULT_STORAGE) -> None:
    """Name the winning configuration and export its best policy as a bundle."""
    from rlsweep.run.export import export_best

    found = export_best(_layout(run, storage))
    configuration, checkpoint = found.configuration, found.checkpoint
    if as_json:
        print(
            json.dumps(
                {
                    "configuration": configuration.config_id,
                    "last_mean": configuration.last_mean,
                    "seeds": [trial.seed for trial in configuration.trials],
                    "trial": checkpoint.trial_id,
                    "checkpoint": str(checkpoint.path),
                    checkpoint.metric: checkpoint.value,
                    "env_steps": checkpoint.env_steps,
                    "bundle": str(found.bundle),
                }
            )
        )
        return
    score = f"{checkpoint.metric} {configuration.last_mean:.2f}, mean of {configuration.seeds_text}"
    print(f"winner: {configuration.config_id} ({score})")
    print(
        f"from: {checkpoint.path} ({checkpoint.metric} {checkpoint.value:.2f} after "
        f"{checkpoint.env_steps:,} env steps)"
    )
    print(f"bundle: {found.bundle}")


@app.command()
def rollout(
    source: Annotated[str, typer.Argument(metavar="RUN|BUNDLE", help="A run, or a bundle's folder.")],
    games: Annotated[int, typer.Option(min=1, help="Whole games to play.")] = 5,
    greedy: Annotated[
        bool, typer.Option("--greedy/--sample", help="The likeliest action, or a sampled one.")
    ] = False,
    video: Annotated[Path | None, typer.Option(help="Write an MP4 of the games.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed plays the same games.")] = 0,
    as_json: AsJson = False,
    storage: StorageDir = DEFAULT_STORAGE,
) -> None:
    """Play whole games with the best policy and print their unclipped scores."""
    from rlsweep.rl.bundle import DESCRIPTION, load_bundle
    from rlsweep.run import rollout as rollouts

    folder = Path(source)
    if not (folder / DESCRIPTION).is_file():
        from rlsweep.run.export import export_best

        folder = export_best(_layout(source, storage)).bundle
    bundle = load_bundle(folder)
    played = rollouts.rollout(
        bundle,
        games,
        greedy=greedy,
        seed=seed,
        video=video,
        on_game=None
        if as_json
        else lambda game: print(f"score {game.score:g} ({game.env_steps:,} env steps)", flush=True),
    )
    scores = [game.score for game in played]
    if as_json:
        print(json.dumps({"bundle": str(folder), "scores": scores, "video": str(video) if video else None}))
        return
    print(rollouts.summary(scores))
    if video is not None:
        print(f"video: {video}")


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
    storage: StorageDir = DEFAULT_STORAGE,
) -> None:
    """Serve the MLflow UI over the embedded store, or name the server of MLFLOW_TRACKING_URI."""
    from rlsweep.run.tracking import mlflow_server_command, remote_tracking_server

    remote = remote_tracking_server()
    if remote:
        print(f"MLflow runs on {remote}")
        return
    command = mlflow_server_command(Storage(storage), host, port)
    messages.print(f"MLflow on http://{host}:{port} (Ctrl-C ends it)")
    os.execv(command[0], command)


def main() -> None:
    """Entry point: every rlsweep error becomes its message and its exit code."""
    try:
        app()
    except RlsweepError as error:
        messages.print(str(error), markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:  # a folder that is a file, a disk that is full, a name that is too long
        messages.print(
            f"{error.filename or 'system'}: {error.strerror or error}", markup=False, soft_wrap=True
        )
        sys.exit(RlsweepError.exit_code)


def _load(spec: str, profile: str | None, overrides: list[str] | None) -> LoadedSpec:
    from rlsweep.spec import load

    return load(spec, profile=profile, overrides=overrides or [])


@contextmanager
def _located(loaded: LoadedSpec) -> Iterator[None]:
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


def _layout(run: str, storage: Path) -> RunLayout:
    layout = Storage(storage).run(run)
    if layout.manifest.is_file():
        return layout
    known = sorted(found.parent.name for found in storage.glob(f"*/{layout.manifest.name}"))
    hint = f"; did you mean {nearest(run, known)!r}?" if nearest(run, known) else ""
    raise UsageError(f"no run {run!r} in {storage}; there are: {', '.join(known) or 'none'}{hint}")


def _print_table(header: list[str], lines: list[list[str]]) -> None:
    table = Table(*header)
    for line in lines:
        table.add_row(*line)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)
