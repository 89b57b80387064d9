"""How many env steps a trial makes in a second: what earlier trials of the same kind made on the same kind of
node, or a short probe."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from analysis.own_rows import read_rows
from rlsweep.errors import RunError
from rlsweep.plan import Plan, PlannedTrial
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.cores import use_cores
from rlsweep.spec import with_values
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import Manifest, content_hash
from rlsweep.store.rows import STEPS_PER_SECOND

PROBE_SECONDS = 20.0
"""A probe trains so long after its first iteration, which compiles and fills caches."""

LEARNING_STARTS = "num_steps_sampled_before_learning_starts"
DQN_PROBE_START = 500

_WARM_UP_ROWS = 1
_MOST_TRIALS = 20
"""So many trials of a kind are enough to know its throughput."""

_COST_HYPERPARAMETERS = (
    "train_batch_size_per_learner",
    "minibatch_size",
    "num_epochs",
    "training_intensity",
    "num_atoms",
    "dueling",
    "use_kl_loss",
)


@dataclass(frozen=True)
class Throughput:
    """Env steps in a second of one trial.

    Attributes:
        env_steps_per_second: of one trial while others run beside it as they will.
        source: where the number comes from, as words.
    """

    env_steps_per_second: float
    source: str


def workload(trial: PlannedTrial) -> str:
    """Hash of what decides how many env steps a trial makes in a second on a given node."""
    sizes = {name: trial.sweep.training.get(name) for name in _COST_HYPERPARAMETERS}
    parts = {name: getattr(trial.sweep, name).model_dump(mode="json") for name in ("env", "network")}
    parts["env"].pop("id")  # the games differ little, and a new game has no history
    kind = trial.sweep.env.is_atari or trial.sweep.env.id
    content = {**parts, **sizes, "algorithm": trial.sweep.algorithm, "kind": kind}
    return content_hash({**content, "resources": asdict(trial.resources)})[:16]


def this_node() -> str:
    """The kind of machine this is: `AMD EPYC 7R13, 16 CPUs, 1 NVIDIA A10G`."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    names = ", ".join(f"{count} {name}" for name, count in Counter(gpus).items()) or "no GPU"
    return f"{_cpu_model()}, {os.cpu_count()} CPUs, {names}"


def measured_throughput(plan: Plan, storage: Storage) -> Throughput | None:
    """What earlier trials of this workload made on this kind of node; None where there are none."""
    wanted, node = workload(plan.example), this_node()
    found: list[float] = []
    for layout, manifest in _manifests(storage):
        for record in manifest.trials:
            if record.workload == wanted and manifest.node == node and len(found) < _MOST_TRIALS:
                found += _median_throughput(layout.result_json(record.id))
    if not found:
        return None
    count = f"{len(found)} earlier trial{'s' if len(found) > 1 else ''}"
    return Throughput(statistics.median(found), f"{count} of this kind on this kind of node")


def train_for_a_moment(trial: PlannedTrial, look: Callable[[], None] = lambda: None) -> Throughput:
    """Train one trial in this process for PROBE_SECONDS, alone. Call inside of a `ray_session`.

    Args:
        trial: whichever.
        look: called after each iteration.
    """
    trial = _learning_at_once(trial)
    config = build_config(trial.sweep, trial.seed, trial.resources)
    use_cores(trial.resources.cpus_for_main_process)
    algorithm = config.build_algo()
    try:
        env_steps = algorithm.train()["env_runners"]["num_env_steps_sampled_lifetime"]
        started = time.perf_counter()
        result, seconds = {}, 0.0
        while seconds < PROBE_SECONDS:
            result = algorithm.train()
            look()
            seconds = time.perf_counter() - started
        gained = result["env_runners"]["num_env_steps_sampled_lifetime"] - env_steps
    finally:
        algorithm.stop()
    return Throughput(gained / seconds, f"a probe of {seconds:.0f} seconds, one trial alone")


def _learning_at_once(trial: PlannedTrial) -> PlannedTrial:
    """DQN without its long start at random: what costs time is learning."""
    if trial.sweep.algorithm != "dqn":
        return trial
    return replace(trial, sweep=with_values(trial.sweep, {f"training.{LEARNING_STARTS}": DQN_PROBE_START}))


def _manifests(storage: Storage) -> Iterator[tuple[RunLayout, Manifest]]:
    for path in sorted(Path(storage.root).glob("*/sweep.json"), reverse=True):
        layout = storage.run(path.parent.name)
        try:
            yield layout, Manifest.read(layout)
        except RunError:
            continue  # a run of another version says nothing here


def _median_throughput(result_json: Path) -> list[float]:
    rows, _ = read_rows(result_json)
    if STEPS_PER_SECOND not in rows or len(rows) <= _WARM_UP_ROWS:
        return []
    median = float(rows[STEPS_PER_SECOND].iloc[_WARM_UP_ROWS:].median())
    return [median] if median > 0 else []


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
