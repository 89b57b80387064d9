"""`rlsweep doctor`: what of this machine would keep a sweep from running well."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby

import typer

from rlsweep.cli.app import DEFAULT_STORAGE, AsJson, StorageOption, app, data, print_json, print_table


@app.command()
def doctor(as_json: AsJson = False, storage: StorageOption = DEFAULT_STORAGE) -> None:
    """Examine this machine: versions, leftovers, disk, ports, GPUs, cluster, runs. It ends nothing."""
    from rlsweep.run.doctor import examine
    from rlsweep.run.doctor_finding import Level

    findings = examine(storage)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        groups = groupby(findings, lambda one: one.subject)
        lines = [
            [subject if place == 0 else "", one.level, one.text]
            for subject, group in groups
            for place, one in enumerate(group)
        ]
        print_table(["subject", "level", "finding"], lines)
        for one in findings:
            if one.remedy:  # below the table, where a command can be copied whole
                data.print(f"{one.subject}, {one.level}: {one.remedy}", soft_wrap=True, markup=False)
    if any(finding.level == Level.PROBLEM for finding in findings):
        raise typer.Exit(1)
