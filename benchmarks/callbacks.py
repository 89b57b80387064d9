"""What each callback costs: `python -m benchmarks.callbacks`.

Algorithms with one callback each, one with all of them and two with none stand side by side in one process
and take turns, a training iteration each, in another order in every round: whatever else the machine does, it
does to all of them. The second one without callbacks shows how far the figures can be trusted.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import random
import shutil
import time
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track
from rich.table import Table

import callbacks.worker
from benchmarks.machine import surroundings
from benchmarks.measure.work import bench_plan
from benchmarks.output import PEERS, data, messages
from callbacks.worker.trial_callback import TrialCallback
from rlsweep.plan import Machine
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.cores import use_cores
from rlsweep.run.custom_metrics import CustomMetrics
from rlsweep.run.session import ray_session

NONE, AGAIN, ALL = "no callback", "no callback, again", "all of them"

_EVERY = ["resources.env_runners=0", "training.replay_buffer_config.capacity=10k"]
"""All in one process, where RLlib runs callbacks of env runners too; the smaller buffer is DQN's."""


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
    algorithm: Annotated[str, typer.Option(help="ppo or dqn.")] = "ppo",
    rounds: Annotated[int, typer.Option(min=1, help="Training iterations of each algorithm.")] = 30,
) -> None:
    """How much longer an env step takes with each callback, and with all of them, than without."""
    shipped = shipped_callbacks()
    contestants = {
        NONE: [],
        AGAIN: [],
        **{name.rpartition(":")[2]: [name] for name in shipped},
        ALL: shipped,
    }
    with ray_session() as machine:
        running = {label: Running(algorithm, machine, names) for label, names in contestants.items()}
        try:
            seconds = _take_turns(running, rounds)
        finally:
            for one in running.values():
                one.stop()
    table = Table("callback", "costs", "quartiles of the rounds", title=f"{algorithm}, {rounds} rounds")
    for label in [label for label in running if label != NONE]:
        costs = 100 * (seconds[label] / seconds[NONE] - 1)
        low, middle, high = np.percentile(costs, [25, 50, 75])
        table.add_row(label, f"{middle:+.1f} %", f"{low:+.1f} to {high:+.1f} %")
    data.print(table)
    for text in surroundings(PEERS).lines()[:2]:
        data.print(text, markup=False, soft_wrap=True)


class Running:
    """An Algorithm as a trial with these callbacks has it, that learns already.

    Args:
        algorithm: its name.
        machine: for its plan.
        names: of the callbacks.
    """

    def __init__(self, algorithm: str, machine: Machine, names: list[str]) -> None:
        own = _EVERY if algorithm == "dqn" else _EVERY[:1]
        trial = bench_plan(algorithm, machine, *own, f"callbacks=[{', '.join(names)}]").example
        use_cores(trial.resources.cpus_for_main_process)
        self._algorithm: Any = build_config(trial.sweep, trial.seed, trial.resources).build_algo()
        self._metrics = CustomMetrics(self._algorithm, algorithm)
        self._env_steps = 0
        while not self._iteration().get("learners"):
            pass

    def seconds_per_env_step(self) -> float:
        """Of one more training iteration, its row included."""
        before, started = self._env_steps, time.perf_counter()
        self._iteration()
        return (time.perf_counter() - started) / (self._env_steps - before)

    def stop(self) -> None:
        """End it, and leave no folder in ~/ray_results."""
        self._algorithm.stop()
        shutil.rmtree(self._algorithm.logdir, ignore_errors=True)

    def _iteration(self) -> dict[str, Any]:
        result: dict[str, Any] = self._algorithm.train()
        self._metrics.row(result)
        self._env_steps = int(result["env_runners"]["num_env_steps_sampled_lifetime"])
        return result


def _take_turns(running: dict[str, Running], rounds: int) -> dict[str, np.ndarray]:
    """Seconds per env step of each, (rounds,)."""
    seconds: dict[str, list[float]] = {label: [] for label in running}
    order = list(running)
    for _ in track(range(rounds), "rounds", console=messages):
        random.shuffle(order)
        for label in order:
            seconds[label].append(running[label].seconds_per_env_step())
    return {label: np.array(values) for label, values in seconds.items()}


if __name__ == "__main__":
    typer.run(cost)
