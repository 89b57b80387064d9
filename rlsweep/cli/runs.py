"""Commands that run sweeps and read what came out: run, report, best, rollout, ui."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from rlsweep.cli.app import (
    AsJson,
    Overrides,
    Profile,
    Run,
    Spec,
    StorageDir,
    app,
    experiment_layout,
    load_spec,
    located,
    messages,
    print_json,
    print_summary,
    print_table,
    run_layout,
)
from rlsweep.cli.bests import best_data, best_text, frames_per_env_step, rollout_data
from rlsweep.cli.specs import show_plan
from rlsweep.cli.statuses import status_data, status_line, trial_line
from rlsweep.errors import RunError, TrialsFailedError, UsageError
from rlsweep.store.layout import DEFAULT_STORAGE, RunLayout, Storage
from rlsweep.store.manifest import FAILED, RUNNING


@app.command()
def run(
    spec: Spec,
    profile: Profile = None,
    overrides: Overrides = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Use no GPU, whatever the spec says.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and end.")] = False,
    supersede: Annotated[
        bool, typer.Option("--supersede", help="Set aside ended trials of another spec of this name.")
    ] = False,
    storage: StorageDir = DEFAULT_STORAGE,
) -> None:
    """Run a sweep; run again, it skips the trials that have ended."""
    loaded = load_spec(
        spec, profile, [*(overrides or []), *(["resources.gpus_per_learner=0"] if cpu else [])]
    )
    if dry_run:
        show_plan(loaded, Storage(storage))
        return
    from rlsweep.plan import make
    from rlsweep.run.forecast import summarize
    from rlsweep.run.launch import launch
    from rlsweep.run.session import ray_session

    with ray_session() as machine, located(loaded):
        plan = make(loaded.sweep, machine)
        print_summary(summarize(plan, Storage(storage)), messages)
        launched = launch(
            plan, Storage(storage), profile=profile or "", supersede=supersede, files=loaded.files
        )
    name, manifest = loaded.sweep.name, launched.manifest
    if launched.spent:
        messages.print(f"{name} ended early, spent {launched.spent}; run it again to go on", soft_wrap=True)
    report([name], storage=storage)
    if launched.is_tracked:
        try:
            sync(name, storage)
        except RunError as error:
            messages.print(f"{error}; later: rlsweep sync {name}", soft_wrap=True, style="yellow")
    messages.print(
        f"look: make ui · make report RUN={name} · make rollout RUN={name} GAMES=5", soft_wrap=True
    )
    failed = [record.id for record in manifest.trials if record.status == FAILED]
    if failed:
        layout = Storage(storage).run(name)
        traces = "\n".join(f"  {layout.trial(trial_id) / RunLayout.ERROR_TXT}" for trial_id in failed)
        raise TrialsFailedError(f"{len(failed)} of {len(manifest.trials)} trials failed:\n{traces}")


@app.command()
def report(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN|FOLDER…", help="A run or a Ray Tune experiment, or several.")
    ],
    at: Annotated[
        str | None, typer.Option(help="Compare the trials as they stood there: 10M, 40M frames, 1h.")
    ] = None,
    watch: Annotated[
        float | None, typer.Option(min=1, help="Write it again every so many seconds, until the run ends.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the report.")] = None,
    storage: StorageDir = DEFAULT_STORAGE,
) -> None:
    """Compare the configurations of a run, or of several: a page, a table, figures, CSV and JSON."""
    from analysis.cuts import parse_cut
    from analysis.findings import find, find_together
    from analysis.report import INDEX, SUMMARY_MD, write_report

    layouts = [experiment_layout(run, storage) for run in runs]
    cut = parse_cut(at) if at else None
    folder = output or layouts[0].report
    if len(layouts) > 1:
        folder = output or layouts[0].report / f"with-{'-'.join(one.root.name for one in layouts[1:])}"
    while True:
        found = find(layouts[0], cut) if len(layouts) == 1 else find_together(layouts, cut)
        is_running = watch is not None and any(one.record.status == RUNNING for one in found.run.trials)
        write_report(
            found,
            layouts[0] if len(layouts) == 1 else None,
            folder,
            refresh_seconds=watch if is_running else None,
        )
        header, *lines = found.table
        print_table(header, lines)
        if not is_running or watch is None:
            break
        time.sleep(watch)
    for text in found.verdicts:
        messages.print(text, soft_wrap=True, markup=False)
    messages.print(f"written: {folder / INDEX} (and {SUMMARY_MD} beside it)", soft_wrap=True)


@app.command()
def status(
    run: Annotated[str | None, typer.Argument(help="A run; without one, all of the storage.")] = None,
    as_json: AsJson = False,
    storage: StorageDir = DEFAULT_STORAGE,
) -> None:
    """Show how trials stand, from the files alone: from any terminal that sees the storage."""
    from analysis.status import read_status, runs

    layouts = [run_layout(run, storage)] if run else runs(storage)
    found = [read_status(layout) for layout in layouts]
    if as_json:
        print_json([status_data(one) for one in found])
        return
    print_table(
        ["run", "trials", "best so far", "steps/s", "at most left"], [status_line(one) for one in found]
    )
    if run:
        print_table(
            ["trial", "score", "games", "env steps", "status"], [trial_line(one) for one in found[0].trials]
        )


@app.command()
def sync(run: Run, storage: StorageDir = DEFAULT_STORAGE) -> None:
    """Send MLflow what it does not have of a run; done again, nothing is there twice."""
    from rich.progress import track

    from rlsweep.run.launch import locked
    from rlsweep.run.sync import sync as send

    layout = run_layout(run, storage)
    with locked(layout):
        run_id = send(
            layout, Storage(storage), lambda trials: track(trials, "trials", console=messages, transient=True)
        )
    print(f"MLflow has all of {run}: run {run_id}")


@app.command()
def best(
    run: Run,
    seed: Annotated[int | None, typer.Option(min=0, help="Choose among this seed's checkpoints.")] = None,
    at: Annotated[
        str | None, typer.Option(help="The checkpoint nearest to so many env steps: 1M, 40M frames.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Show so many configurations; the first is exported.")] = 1,
    export: Annotated[Path | None, typer.Option(help="Folder for the bundle, instead of best/.")] = None,
    as_json: AsJson = False,
    storage: StorageDir = DEFAULT_STORAGE,
) -> None:
    """Name the winning configuration, say how its checkpoint was chosen, export its policy as a bundle."""
    from rlsweep.run.export import best_of
    from rlsweep.run.export import export as export_bundle
    from rlsweep.spec.quantities import parse_env_steps

    layout = run_layout(run, storage)
    try:
        at_env_steps = parse_env_steps(at, frames_per_env_step(layout)) if at else None
    except ValueError as error:
        raise UsageError(f"--at {at}: {error}") from None
    found = best_of(layout, top=top, seed=seed, at_env_steps=at_env_steps)
    bundle = export or layout.best
    export_bundle(found[0].checkpoint, bundle)
    if as_json:
        choices = [best_data(one) for one in found]
        print_json({**choices[0], "bundle": str(bundle), "top": choices})
        return
    for place, one in enumerate(found, 1):
        print(best_text(one, "winner" if place == 1 else f"place {place}"))
    print(f"bundle: {bundle}")


@app.command()
def rollout(
    source: Annotated[
        str,
        typer.Argument(metavar="RUN|BUNDLE|URI", help="A run, a bundle's folder, or models:/NAME@best."),
    ],
    games: Annotated[int, typer.Option(min=1, help="Whole games to play.")] = 5,
    greedy: Annotated[
        bool, typer.Option("--greedy/--sample", help="The likeliest action, or a sampled one.")
    ] = False,
    epsilon: Annotated[float, typer.Option(min=0, max=1, help="Share of actions drawn uniformly.")] = 0.0,
    sticky: Annotated[
        float | None, typer.Option(min=0, max=0.99, help="Sticky actions, instead of those of training.")
    ] = None,
    video: Annotated[Path | None, typer.Option(help="Write an MP4 or GIF of the games.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed plays the same games.")] = 0,
    as_json: AsJson = False,
    storage: StorageDir = DEFAULT_STORAGE,
) -> None:
    """Play whole games with the best policy and print their unclipped scores."""
    from rlsweep.rl.bundle import DESCRIPTION, load_bundle
    from rlsweep.run import rollout as rollouts

    folder = Path(source)
    if source.startswith(("models:/", "runs:/")):
        from rlsweep.run.model import download_bundle
        from rlsweep.run.tracking import tracking_uri

        folder = download_bundle(source, tracking_uri(Storage(storage)))
    elif not (folder / DESCRIPTION).is_file():
        from rlsweep.run.export import export_best

        layout = run_layout(source, storage)
        export_best(layout)
        folder = layout.best
    bundle = load_bundle(folder)
    played = rollouts.rollout(
        bundle,
        games,
        greedy=greedy,
        epsilon=epsilon,
        sticky_actions=sticky,
        seed=seed,
        video=video,
        on_game=None
        if as_json
        else lambda game: print(f"score {game.score:g} ({game.env_steps:,} env steps)", flush=True),
    )
    scores = [game.score for game in played]
    summary = rollouts.summarize(scores, bundle.env.id)
    if as_json:
        print_json(rollout_data(folder, scores, summary, video))
        return
    print(summary)
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
