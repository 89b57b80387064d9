"""What each callback costs: `python -m benchmarks.callbacks`.

Env steps per second of a trial with the callback, over those of the same trial without, measured one after
the other in each round.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from statistics import median
from typing import Annotated

import typer
from rich.table import Table

import callbacks.worker
from benchmarks.__main__ import PEERS, data, messages
from benchmarks.catalogue import Candidate
from benchmarks.machine import surroundings
from benchmarks.programs import end_programs_with_this_one, run
from callbacks.worker.trial_callback import TrialCallback


def shipped_callbacks() -> list[str]:
    """Every callback of callbacks/worker that adds keys to the rows, as a spec names it."""
    found = []
    [folder] = callbacks.worker.__path__
    for name in sorted(module.name for module in pkgutil.iter_modules([folder])):
        module = importlib.import_module(f"callbacks.worker.{name}")
        for class_name, one in inspect.getmembers(module, inspect.isclass):
            is_own = one.__module__ == module.__name__ and not class_name.startswith("_")
            if is_own and issubclass(one, TrialCallback) and one is not TrialCallback:
                found.append(f"{module.__name__}:{class_name}")
    return found


def cost(
    algorithm: Annotated[str, typer.Option(help="ppo, appo, impala or dqn.")] = "ppo",
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of each measurement, at least.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="Pairs of measurements for each callback.")] = 3,
) -> None:
    """Env steps per second with each callback, and with all of them, over those without."""
    shipped = shipped_callbacks()
    table = Table("callback", "of the throughput without", "rounds", title=f"{algorithm}: callbacks")
    for names in [*([name] for name in shipped), shipped]:
        label = names[0].rpartition(":")[2] if len(names) == 1 else "all of them"
        ratios = [_ratio(algorithm, label, names, seconds) for _ in range(rounds)]
        spread = f"{100 * min(ratios):.1f} to {100 * max(ratios):.1f} %"
        table.add_row(label, f"{100 * median(ratios):.1f} %", spread)
        messages.print(f"{label}: {100 * median(ratios):.1f} % ({spread})", markup=False)
    data.print(table)
    for text in surroundings(PEERS).lines()[:2]:
        data.print(text, markup=False, soft_wrap=True)


def _ratio(algorithm: str, label: str, names: list[str], seconds: float) -> float:
    plain = Candidate("no callbacks", "ours", (algorithm,))
    watched = Candidate(label, "ours", (algorithm, "--set", f"callbacks=[{', '.join(names)}]"))
    without, having = (run(one, seconds, PEERS).value for one in (plain, watched))
    return having / without


if __name__ == "__main__":
    end_programs_with_this_one()
    typer.run(cost)
