"""Commands that run sweeps and show what came out: run, report, status, sync, rewind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rlsweep.cli.app import (
    DEFAULT_STORAGE,
    AsJson,
    Overrides,
    Profile,
    Run,
    Spec,
    StorageOption,
    app,
    located,
    messages,
    print_json,
    print_summary,
    print_table,
    run_layout,
)
from rlsweep.cli.bests import env_steps_at
from rlsweep.cli.jobs import submit_run
from rlsweep.cli.reports import sync_to_mlflow, write_reports
from rlsweep.cli.requests import Cpu, Fork, Retry, RetryOption, RunRequest, Supersede, Trust
from rlsweep.cli.specs import show_plan
from rlsweep.cli.statuses import status_data, status_line, trial_line
from rlsweep.errors import RlsweepError, TrialsFailedError
from rlsweep.run.heads import is_head
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import FAILED, Manifest
from rlsweep.store.mirror import mirrored


@app.command()
def run(
    spec: Spec,
    profile: Profile = None,
    overrides: Overrides = None,
    cpu: Cpu = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and end.")] = False,
    supersede: Supersede = False,
    retry: RetryOption = None,
    trust: Trust = False,
    fork: Fork = None,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Run a sweep; run again, it goes on where it was interrupted. RAY_ADDRESS=http://… submits it."""
    request = RunRequest(spec, profile, overrides or (), cpu, supersede, retry, trust, fork)
    loaded = request.load()
    if dry_run:
        show_plan(loaded, storage)
        return
    if is_head():
        submit_run(loaded, request.arguments(), os.environ["RAY_ADDRESS"], storage)
        return
    from rlsweep.run.forecast import summarize
    from rlsweep.run.gpu_probe import with_measured_share
    from rlsweep.run.launch import launch
    from rlsweep.run.nodes import plan_on
    from rlsweep.run.session import ray_session

    with ray_session() as machine, located(loaded):
        plan = with_measured_share(plan_on(loaded.sweep, machine))
        print_summary(summarize(plan, storage), messages)
        launched = launch(
            plan,
            storage,
            profile=profile or "",
            supersede=supersede,
            retry_failed=retry is Retry.FAILED,
            trust=trust,
            fork_of=request.forked_from(),
            files=loaded.files,
        )
    name, manifest = loaded.sweep.name, launched.manifest
    if launched.limit:
        messages.print(f"{name} ended early, {launched.limit}; run it again to go on", soft_wrap=True)
    write_reports([name], storage)
    if launched.is_tracked:
        try:
            sync_to_mlflow(name, storage)
        except RlsweepError as error:  # it has run, and stands on disk
            messages.print(f"{error}; later: rlsweep sync {name}", soft_wrap=True, style="yellow")
    messages.print(
        f"look: make ui · make report RUN={name} · make rollout RUN={name} GAMES=5", soft_wrap=True
    )
    _raise_if_trials_failed(manifest, storage.run(name))


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
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Compare the configurations of a run, or of several: a page, a table, figures, CSV and JSON."""
    write_reports(runs, storage, at=at, watch=watch, output=output)


@app.command()
def status(
    run: Annotated[str | None, typer.Argument(help="A run; without one, all of the storage.")] = None,
    as_json: AsJson = False,
    storage: StorageOption = DEFAULT_STORAGE,
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
def sync(run: Run, storage: StorageOption = DEFAULT_STORAGE) -> None:
    """Send MLflow what it does not have of a run; done again, nothing is there twice."""
    sync_to_mlflow(run, storage)


@app.command()
def rewind(
    run: Run,
    at: Annotated[str, typer.Option(help="Env steps: 1M, 40M frames.")],
    trials: Annotated[list[str] | None, typer.Option("--trial", help="Id of a trial; all otherwise.")] = None,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Let trials go on from the checkpoint nearest to some env steps, with the next `rlsweep run`."""
    from rlsweep.run.going_on import rewind as set_back
    from rlsweep.run.lock import locked

    layout = run_layout(run, storage)
    at_env_steps = env_steps_at(at, layout)
    with locked(layout), mirrored(layout):
        found = set_back(layout, trials or [], at_env_steps)
    for trial_id, env_steps in found.items():
        print(f"{trial_id}: goes on after {env_steps:,} env steps")


def _raise_if_trials_failed(manifest: Manifest, layout: RunLayout) -> None:
    """End with the traces of the trials that failed, where some have."""
    failed = [record.id for record in manifest.trials if record.status == FAILED]
    if failed:
        traces = "\n".join(f"  {layout.trial(trial_id) / RunLayout.ERROR_TXT}" for trial_id in failed)
        raise TrialsFailedError(
            f"{len(failed)} of {len(manifest.trials)} trials failed:\n{traces}\ntry again: --retry failed"
        )
