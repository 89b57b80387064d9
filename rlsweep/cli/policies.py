"""Commands on trained policies: best, rollout."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsweep.cli.app import (
    DEFAULT_STORAGE,
    AsJson,
    Run,
    StorageOption,
    app,
    is_uri,
    messages,
    print_json,
    run_layout,
)
from rlsweep.cli.bests import best_data, best_text, env_steps_at, rollout_data, rollouts_text
from rlsweep.errors import UsageError
from rlsweep.store.layout import Storage
from rlsweep.store.mirror import send

if TYPE_CHECKING:
    from rlsweep.run.sources import PolicySource

MAX_POLICIES = 4
"""Side by side; more do not fit into one picture."""


@app.command()
def best(
    run: Run,
    seed: Annotated[int | None, typer.Option(min=0, help="Choose among this seed's checkpoints.")] = None,
    at: Annotated[
        str | None, typer.Option(help="The checkpoint nearest to so many env steps: 1M, 40M frames.")
    ] = None,
    game: Annotated[
        str | None, typer.Option(help="Of several games, choose among this one's checkpoints.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Show so many configurations; the first is exported.")] = 1,
    export: Annotated[Path | None, typer.Option(help="Folder for the bundle, instead of best/.")] = None,
    as_json: AsJson = False,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Name the winning configuration, say how its checkpoint was chosen, export its policy as a bundle."""
    from rlsweep.run.export import best_of
    from rlsweep.run.export import export as export_bundle

    layout = run_layout(run, storage)
    at_env_steps = env_steps_at(at, layout) if at else None
    found = best_of(layout, top=top, seed=seed, game=game, at_env_steps=at_env_steps)
    bundle = export or layout.best
    export_bundle(found[0].checkpoint, bundle)
    send(layout)
    if as_json:
        choices = [best_data(one) for one in found]
        print_json({**choices[0], "bundle": str(bundle), "top": choices})
        return
    for place, one in enumerate(found, 1):
        print(best_text(one, "winner" if place == 1 else f"place {place}"))
    print(f"bundle: {bundle}")


@app.command()
def rollout(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|BUNDLE|URI…",
            help="A run, a bundle's folder, or models:/NAME@best; several play games of the same seeds.",
        ),
    ],
    games: Annotated[int, typer.Option(min=1, help="Whole games to play.")] = 5,
    greedy: Annotated[
        bool, typer.Option("--greedy/--sample", help="The likeliest action, or a sampled one.")
    ] = False,
    epsilon: Annotated[float, typer.Option(min=0, max=1, help="Share of actions drawn uniformly.")] = 0.0,
    sticky: Annotated[
        float | None, typer.Option(min=0, max=0.99, help="Sticky actions, instead of those of training.")
    ] = None,
    video: Annotated[
        Path | None, typer.Option(help="Write an MP4 or GIF of the games; several policies side by side.")
    ] = None,
    beside: Annotated[int, typer.Option(min=1, help="Games of a policy in one picture of the film.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed plays the same games.")] = 0,
    log: Annotated[
        bool, typer.Option("--log", help="Write the scores to the trial's run in MLflow.")
    ] = False,
    as_json: AsJson = False,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Play whole games with the best policy and print their unclipped scores."""
    from rich.progress import Progress

    from rlsweep.rl.games import Game
    from rlsweep.run.game_statistics import difference, summarize
    from rlsweep.run.rollout import Play, rollout_together
    from rlsweep.run.rollout_log import log_rollout
    from rlsweep.run.sources import mlflow_run_of

    play = Play(games, greedy, epsilon, sticky, seed)
    with _open_policies(sources, storage) as found:
        runs = [mlflow_run_of(source, storage) for source in found] if log else []
        bar = Progress(console=messages, transient=True, redirect_stdout=sys.stdout.isatty())
        with bar as progress:
            task = progress.add_task("games", total=games * len(found))

            def tell(name: str, game: Game) -> None:
                progress.advance(task)
                if not as_json:
                    who = f"{name}: " if len(found) > 1 else ""
                    print(f"{who}score {game.score:g} ({game.env_steps:,} env steps)", flush=True)

            bundles = {source.name if len(found) > 1 else "": source.bundle for source in found}
            games_of = rollout_together(bundles, play, video=video, beside=beside, on_game=tell)
    scores = [[game.score for game in one] for one in games_of.values()]
    summaries = [summarize(one, source.bundle.env.id) for one, source in zip(scores, found, strict=True)]
    results = [
        rollout_data(source.place, one, summary, video)
        for source, one, summary in zip(found, scores, summaries, strict=True)
    ]
    for run_id, source, result in zip(runs, found, results, strict=False):
        log_rollout(run_id, play, int(source.bundle.origin.get("env_steps", 0)), result, video, storage)
    differences = [difference(scores[0], other) for other in scores[1:]]
    if as_json:
        several = {"policies": results, "differences": differences}
        print_json(several if len(results) > 1 else results[0])
    else:
        print(rollouts_text(sources, summaries, differences, video))


@contextmanager
def _open_policies(names: Sequence[str], storage: Storage) -> Iterator[list[PolicySource]]:
    """The policies that are to play, for the time of the block.

    Raises:
        UsageError: they are too many, or the same; a name stands for nothing; they play different games.
        RunError: a run has no whole checkpoint, or MLflow no such policy.
        BundleError: a policy cannot be loaded.
    """
    from rlsweep.run.sources import is_bundle, policy_source

    if len(set(names)) < len(names) or len(names) > MAX_POLICIES:
        raise UsageError(f"{' '.join(names)}: allowed: at most {MAX_POLICIES} different policies")
    with ExitStack() as stack:
        found = []
        for name in names:
            layout = None if is_uri(name) or is_bundle(name) else run_layout(name, storage)
            found.append(stack.enter_context(policy_source(name, storage, layout)))
        if len({source.bundle.env.id for source in found}) > 1:
            played = ", ".join(f"{source.name} plays {source.bundle.env.id}" for source in found)
            raise UsageError(f"{played}: there is nothing to compare")
        yield found
