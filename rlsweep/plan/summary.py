"""A plan in words and numbers: what `rlsweep plan` prints, and `run` before it starts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rlsweep.plan.estimate import Cost, Work
from rlsweep.plan.packing.labels import in_words
from rlsweep.plan.plan import Plan
from rlsweep.plan.trial_resources import TrialResources
from rlsweep.spec import BudgetSpec
from rlsweep.spec.hyperparameters import hyperparameters
from rlsweep.spec.quantities import duration

GIB = 2**30


@dataclass(frozen=True)
class Disk:
    """What checkpoints take.

    Attributes:
        checkpoint_bytes: of one.
        checkpoints: kept at the end.
        free_bytes: where the runs lie; None where nobody can say, as of an object store.
    """

    checkpoint_bytes: int
    checkpoints: int
    free_bytes: int | None

    @property
    def total_bytes(self) -> int:
        """Of all that are kept."""
        return self.checkpoint_bytes * self.checkpoints


@dataclass(frozen=True)
class Difference:
    """A hyperparameter that is not RLlib's default.

    Attributes:
        name: of the argument of `AlgorithmConfig.training()`.
        value: of the spec; a text where it is swept.
        default: RLlib's.
    """

    name: str
    value: Any
    default: Any


@dataclass(frozen=True)
class Summary:
    """All that is said of a plan.

    Attributes:
        plan: what is summarized.
        work: the training it asks for.
        cost: what that takes; None where no throughput is known.
        disk: what its checkpoints take.
    """

    plan: Plan
    work: Work
    cost: Cost | None
    disk: Disk

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What and how much, one line each."""
        plan, work, sweep = self.plan, self.work, self.plan.sweep
        confirming = f", then {work.confirming_trials} to confirm the best" if work.confirming_trials else ""
        games = f" x {len(sweep.games)} games" if sweep.games else ""
        different = plan.num_configurations // max(1, len(sweep.games))
        configurations = f"{different} configurations{games} x {len(sweep.seeds)} seeds"
        nodes = f"{len(plan.machine.nodes)} node{'s' if len(plan.machine.nodes) > 1 else ''}"
        machine = f"{plan.machine.cpus} CPUs and {plan.machine.gpus:g} GPUs of {nodes}"
        found = [
            ("search", _search_text(plan)),
            ("trials", f"{work.trials} ({configurations}){confirming}"),
            ("one trial takes", _bundles_text(plan.resources)),
            ("at once", f"{plan.max_concurrent} on {machine}"),
            ("", self._nodes_text()),
            (
                "env steps",
                f"{work.env_steps:,} ({work.frames:,} frames), at most {work.most_env_steps:,}; {work.basis}",
            ),
            ("time", self._time_text()),
            ("budget", _budget_text(sweep.budget)),
            ("checkpoints", self._disk_text()),
        ]
        return [(name, text) for name, text in found if text]

    @property
    def differences(self) -> list[Difference]:
        """Hyperparameters in force that are not RLlib's defaults; the swept ones with their range."""
        sweep = self.plan.sweep
        known = hyperparameters(sweep.algorithm)
        written = dict(sweep.training)
        for path, range_ in sweep.search.parameters.items():
            section, _, name = path.partition(".")
            if section == "training":
                shown = range_.model_dump(exclude_unset=True, mode="json")
                written[name] = f"swept: {json.dumps(shown)}"
        return [
            Difference(name, value, known[name].default if name in known else None)
            for name, value in sorted(written.items())
            if name not in known or value != known[name].default
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        plan = self.plan
        return {
            "name": plan.sweep.name,
            "method": plan.sweep.search.method,
            "num_configurations": plan.num_configurations,
            "seeds": list(plan.sweep.seeds),
            "env_steps": self.work.env_steps,
            "frames": self.work.frames,
            "work": asdict(self.work),
            "bundles": plan.resources.bundles,
            "placement": plan.resources.placement,
            "label_selectors": plan.resources.label_selectors,
            "max_concurrent": plan.max_concurrent,
            "nodes": [{"name": node.name, "resources": dict(node.resources)} for node in plan.machine.nodes],
            "cost": asdict(self.cost) if self.cost else None,
            "disk": asdict(self.disk) | {"total_bytes": self.disk.total_bytes},
            "hyperparameters": [asdict(difference) for difference in self.differences],
            "trials": [
                {
                    "id": trial.id,
                    "values": trial.values,
                    "seed": trial.seed,
                    "env_steps": trial.sweep.stop.env_steps,
                    "bundles": trial.resources.bundles,
                }
                for trial in plan.trials
            ],
        }

    def _nodes_text(self) -> str:
        plan = self.plan
        if len(plan.machine.nodes) == 1:
            return ""
        placed = plan.resources.place(plan.machine, plan.max_concurrent)
        counts = Counter(name for placement in placed for name in placement.nodes)
        return "bundles on " + ", ".join(f"{name}: {count}" for name, count in counts.items())

    def _time_text(self) -> str:
        if self.cost is None:
            return "unknown: no trial of this kind has run on this kind of node; --probe measures it"
        gpu = f", {self.cost.gpu_hours:.1f} GPU hours" if self.plan.resources.gpus else ""
        return f"about {duration(self.cost.wall_seconds)} of training{gpu} ({self.cost.basis})"

    def _disk_text(self) -> str:
        disk = self.disk
        text = (
            f"{disk.total_bytes / GIB:.2f} GiB ({disk.checkpoints} of {disk.checkpoint_bytes / 1e6:.1f} MB)"
        )
        if disk.free_bytes is None:
            return text
        is_short = disk.total_bytes > disk.free_bytes
        return f"{text}, {disk.free_bytes / GIB:.0f} GiB free" + (
            "; TOO LITTLE: lower checkpoints.keep, or write elsewhere with --storage" if is_short else ""
        )


def _budget_text(budget: BudgetSpec) -> str:
    parts = [
        f"{budget.gpu_hours:g} GPU hours" if budget.gpu_hours is not None else "",
        duration(budget.wall_time) if budget.wall_time is not None else "",
        f"{budget.trials} trials" if budget.trials is not None else "",
        f"{budget.disk / GIB:.2f} GiB" if budget.disk is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _search_text(plan: Plan) -> str:
    search, scheduler = plan.sweep.search, plan.sweep.scheduler
    if not search.parameters:
        return "nothing is swept"
    learns = "" if search.is_listed else ", each proposed by the results so far"
    return f"{search.method} over {len(search.parameters)} parameters{learns}; {scheduler.type}"


def _bundles_text(resources: TrialResources) -> str:
    counts = Counter(
        ", ".join(f"{amount:g} {kind}" for kind, amount in bundle.items()) + in_words(selector)
        for bundle, selector in zip(resources.bundles, resources.label_selectors, strict=True)
    )
    return " + ".join(f"{count} x {{{text}}}" for text, count in counts.items()) + f", {resources.placement}"
