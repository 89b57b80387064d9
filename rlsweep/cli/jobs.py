"""Commands that send sweeps to a Ray cluster and look after them there: submit, logs, stop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rlsweep.cli.app import (
    DEFAULT_STORAGE,
    Overrides,
    Profile,
    Spec,
    StorageOption,
    app,
    messages,
)
from rlsweep.cli.requests import Cpu, Fork, RetryOption, RunRequest, Supersede, Trust
from rlsweep.errors import RunError, UsageError
from rlsweep.run.heads import is_head
from rlsweep.store.layout import Storage

if TYPE_CHECKING:
    from rlsweep.run.jobs import Job, Jobs
    from rlsweep.spec import LoadedSpec


Address = Annotated[
    str,
    typer.Option(envvar="RAY_ADDRESS", help="Of the cluster's head: http://head:8265.", show_default=False),
]
JobOrRun = Annotated[str, typer.Argument(metavar="RUN|JOB", help="Name of a sweep, or of one of its jobs.")]


@app.command()
def submit(
    spec: Spec,
    profile: Profile = None,
    overrides: Overrides = None,
    address: Address = "",
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Show what it says.")] = True,
    cpu: Cpu = False,
    supersede: Supersede = False,
    retry: RetryOption = None,
    trust: Trust = False,
    fork: Fork = None,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Run a sweep as a job of a Ray cluster; submitted again, the job that runs already is shown."""
    request = RunRequest(spec, profile, overrides or (), cpu, supersede, retry, trust, fork)
    submit_run(request.load(), request.arguments(), address, storage, is_followed=follow)


def submit_run(
    loaded: LoadedSpec, arguments: list[str], address: str, storage: Storage, *, is_followed: bool = True
) -> None:
    """What `submit` does, and `run` where RAY_ADDRESS names a head.

    Args:
        loaded: the spec.
        arguments: of `rlsweep run` on the cluster.
        address: of the head.
        storage: of the runs.
        is_followed: what it says is shown until it ends, and its exit code is that of this command.
    """
    from rlsweep.run.submission import follow, submit

    jobs, name = _jobs(address), loaded.sweep.name

    content = [path.read_bytes() for path in loaded.files]

    def begin() -> Job:
        return submit(jobs, loaded, arguments, storage)

    def again() -> Job:
        if [path.read_bytes() for path in loaded.files] != content:
            raise UsageError(
                f"{loaded.files[0]} has changed since {job.id} was submitted: submit it yourself"
            )
        return begin()

    job = begin()
    messages.print(f"job {job.id} at {address}: {job.status.lower()}", soft_wrap=True)
    if not is_followed:
        messages.print(f"look: rlsweep logs {name} · end: rlsweep stop {name}", soft_wrap=True)
        return
    try:
        ended = follow(jobs, job, again, _tell)
    except KeyboardInterrupt:
        hint = f"rlsweep logs {name} --follow · end it: rlsweep stop {name}"
        messages.print(f"{job.id} goes on without you; look: {hint}", soft_wrap=True)
        raise typer.Exit(130) from None
    _end(ended)


@app.command()
def logs(
    run: JobOrRun,
    address: Address = "",
    follow: Annotated[bool, typer.Option("--follow", help="Until it ends.")] = False,
) -> None:
    """Show what a sweep's job on a Ray cluster has said."""
    jobs = _jobs(address)
    job = _job(jobs, run)
    if follow:
        _end(jobs.follow(job.id, _tell))
    else:
        _tell(jobs.logs(job.id))


@app.command()
def stop(run: JobOrRun, address: Address = "") -> None:
    """Stop a sweep's job on a Ray cluster; its trials leave checkpoints, and the sweep can go on."""
    jobs = _jobs(address)
    job = _job(jobs, run)
    if job.has_ended:
        print(f"{job.id} has ended: {job.status.lower()}")
        return
    jobs.stop(job.id)
    print(f"{job.id} is told to stop; its trials leave checkpoints")


def _jobs(address: str) -> Jobs:
    if not is_head(address):
        raise UsageError(f"--address {address or '(none)'}: allowed: the head's dashboard, http://HEAD:8265")
    from rlsweep.run.jobs import Jobs

    return Jobs(address)


def _job(jobs: Jobs, run: str) -> Job:
    found = jobs.of(run)
    if not found:
        raise UsageError(f"no job of {run!r} at this cluster")
    running = [job.id for job in found if not job.has_ended]
    if len(running) > 1:
        raise UsageError(f"{len(running)} jobs of {run!r} run: {', '.join(running)}: say which one")
    return found[-1]


def _tell(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _end(job: Job) -> None:
    """Leave with the exit code of the job's command."""
    from rlsweep.run.jobs import TOLD_TO_STOP

    messages.print(f"job {job.id}: {job.status.lower()}", soft_wrap=True)
    if job.status == "STOPPED":
        raise typer.Exit(TOLD_TO_STOP)
    if job.exit_code:
        raise typer.Exit(job.exit_code)
    if job.status == "FAILED":
        raise RunError(f"{job.id} failed: {job.message}")
