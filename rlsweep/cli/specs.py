"""Commands that read specs and run nothing: validate, plan, schema, convert.

Heavy imports stand inside of the functions, so that `validate` and `--help` answer at once.
"""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsweep.cli.app import (
    DEFAULT_STORAGE,
    AsJson,
    Overrides,
    Profile,
    Spec,
    StorageOption,
    app,
    data,
    load_spec,
    located,
    messages,
    print_json,
    print_summary,
)
from rlsweep.errors import UsageError
from rlsweep.store.layout import Storage

MAX_CONFIGS_BUILT = 1000
"""AlgorithmConfigs that `plan` builds to see whether RLlib takes them, half a second; `run` builds all."""

if TYPE_CHECKING:
    from rlsweep.spec import LoadedSpec


@app.command()
def validate(spec: Spec, profile: Profile = None, overrides: Overrides = None) -> None:
    """Check a spec, without Ray and without running anything."""
    from rlsweep.plan.search import count_configurations
    from rlsweep.spec import load_all_profiles

    loaded = (
        load_all_profiles(spec, overrides or []) if profile is None else load_spec(spec, profile, overrides)
    )
    count = count_configurations(loaded.sweep)
    print(f"{loaded.sweep.name}: valid; {count} configurations x {len(loaded.sweep.seeds)} seeds")


@app.command()
def plan(
    spec: Spec,
    profile: Profile = None,
    overrides: Overrides = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="Of the machine; this one's by default.")] = None,
    gpus: Annotated[
        float | None, typer.Option(min=0, max=10_000, help="Of the machine; this one's by default.")
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Measure the throughput: train for a moment.")
    ] = False,
    as_json: AsJson = False,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Show what a sweep will run and cost, here or on the cluster of RAY_ADDRESS, without training."""
    show_plan(
        load_spec(spec, profile, overrides),
        storage,
        cpus=cpus,
        gpus=gpus,
        probe=probe,
        as_json=as_json,
    )


@app.command()
def schema(
    output: Annotated[Path | None, typer.Option(help="Write it there, instead of to stdout.")] = None,
) -> None:
    """Write the JSON Schema (draft-07) of specs, from which editors complete."""
    from rlsweep.spec.schema import schema as make_schema

    text = json.dumps(make_schema(), indent=1, ensure_ascii=False) + "\n"
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, "utf-8")


@app.command()
def convert(
    old: Annotated[Path, typer.Argument(metavar="OLD.yaml", help="A file of `rllib train -f`.")],
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each spec to a file of its own there.")
    ] = None,
) -> None:
    """Turn an old `rllib train -f` file into specs, one for each of its experiments."""
    from rlsweep.legacy import convert_file

    specs = convert_file(old)
    if output is None:
        are_several = len(specs) > 1
        for spec in specs:
            print("---\n" * are_several + spec.text, end="")
        if are_several:
            hint = "--output DIR writes each to a file of its own"
            messages.print(f"{len(specs)} specs; {hint}", soft_wrap=True)
        return
    texts = {output / f"{spec.name}.yaml": spec.text for spec in specs}
    if taken := [str(path) for path in texts if path.exists()]:
        raise UsageError(f"already there, not overwritten: {', '.join(taken)}")
    output.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, "utf-8")
        print(path)


def show_plan(
    loaded: LoadedSpec,
    storage: Storage,
    *,
    cpus: int | None = None,
    gpus: float | None = None,
    probe: bool = False,
    as_json: bool = False,
) -> None:
    """What `plan` and `run --dry-run` print.

    Raises:
        PreflightError: the plan can never run on the machine.
    """
    from rlsweep.plan import make
    from rlsweep.rl import preflight
    from rlsweep.run.forecast import summarize, this_machine
    from rlsweep.run.heads import is_head
    from rlsweep.run.session import quiet_libraries, ray_session
    from rlsweep.run.throughput import train_for_a_moment

    quiet_libraries()
    is_said = cpus is not None or gpus is not None
    asks_ray = probe or (bool(os.environ.get("RAY_ADDRESS")) and not is_head() and not is_said)
    if is_head() and not probe and not is_said:
        messages.print(
            f"planned for this machine: {os.environ['RAY_ADDRESS']} takes jobs; say --cpus and --gpus, or "
            "plan on the cluster, with RAY_ADDRESS=HEAD:6379",
            soft_wrap=True,
        )
    with ray_session() if asks_ray else nullcontext(this_machine(cpus, gpus)) as machine, located(loaded):
        planned = make(loaded.sweep, machine)
        preflight.check(planned, most=MAX_CONFIGS_BUILT)
        summary = summarize(planned, storage, train_for_a_moment(planned.example) if probe else None)
    if as_json:
        print_json(summary.to_json())
    else:
        print_summary(summary, data)
