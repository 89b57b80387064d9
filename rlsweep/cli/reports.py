"""What `rlsweep report` and `rlsweep sync` do, and `rlsweep run` at its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rlsweep.cli.app import experiment_layout, messages, print_table, run_layout
from rlsweep.store.layout import Storage
from rlsweep.store.manifest import RUNNING
from rlsweep.store.mirror import bring, mirrored, send


def write_reports(
    runs: Sequence[str],
    storage: Storage,
    *,
    at: str | None = None,
    watch: float | None = None,
    output: Path | None = None,
) -> None:
    """Compare the configurations of runs: the report's files, its table, and what follows from it in words.

    Args:
        runs: names of runs, or folders of Ray Tune; at least one.
        storage: of the runs.
        at: compare the trials as they stood there: `10M`, `1h`.
        watch: write it again every so many seconds, until the runs end.
        output: folder of the report, instead of the first run's own.

    Raises:
        UsageError: there is no such run, `at` is no moment, or the runs cannot be compared.
        RunError: a run cannot be read.
    """
    from analysis.cuts import parse_cut
    from analysis.findings import find, find_together
    from analysis.report import INDEX, SUMMARY_MD, write_report
    from rlsweep.run.study import write_study

    layouts = [experiment_layout(run, storage) for run in runs]
    cut = parse_cut(at) if at else None
    parts = [f"with-{one.root.name}" for one in layouts[1:]] + ([f"at-{at}"] if at else [])
    # What `rlsweep sync` sends is the report of this run alone, to its end.
    folder = output or layouts[0].report.joinpath("-".join(parts).replace(" ", "-").replace("/", "-"))
    while True:
        found = find(layouts[0], cut) if len(layouts) == 1 else find_together(layouts, cut)
        is_running = watch is not None and any(one.record.status == RUNNING for one in found.run.trials)
        write_report(
            found,
            layouts[0] if len(layouts) == 1 else None,
            folder,
            refresh_seconds=watch if is_running else None,
        )
        if len(layouts) == 1 and layouts[0].manifest.is_file():
            write_study(layouts[0])
        send(layouts[0])
        header, *lines = found.table
        print_table(header, lines)
        if not is_running or watch is None:
            break
        time.sleep(watch)
        for layout in layouts:
            bring(layout)
    for text in found.verdicts:
        messages.print(text, soft_wrap=True, markup=False)
    messages.print(f"written: {folder / INDEX} (and {SUMMARY_MD} beside it)", soft_wrap=True)


def sync_to_mlflow(run: str, storage: Storage) -> None:
    """Send MLflow what it does not have of a run, and say under which run id it has it.

    Raises:
        UsageError: there is no such run.
        PreflightError: another process writes to it.
        RunError: it cannot be read, or MLflow does not take all of it.
        BundleError: the winner's checkpoint holds no policy that can be loaded.
    """
    from rich.progress import track

    from rlsweep.run.lock import locked
    from rlsweep.run.sync import sync

    layout = run_layout(run, storage)
    with locked(layout), mirrored(layout):
        run_id = sync(
            layout, storage, lambda trials: track(trials, "trials", console=messages, transient=True)
        )
    print(f"MLflow has all of {run}: run {run_id}")
