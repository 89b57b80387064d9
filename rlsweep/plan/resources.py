"""What one trial takes of the machine: `auto` resolved, bundles as Ray's placement groups take them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rlsweep.errors import PreflightError
from rlsweep.plan.packing import Miss, Node, nearest_miss
from rlsweep.spec import ASYNCHRONOUS, Algorithm, ResourceSpec, Sweep

MAX_AUTO_CPUS = 8
"""More cores than this no longer speed up one trial's small network; more trials use the rest."""

MAX_AUTO_CPUS_WITHOUT_IMAGES = {"dqn": 2}
"""Batches that are no images are too small to be divided; DQN samples while it learns. Others take one."""

RESOURCE_STEPS = 10_000
"""Ray counts resources in so many parts of one."""

MIN_GAMES_PER_ENV_RUNNER = 4
"""With fewer games an env runner's forward passes are too small to be worth a process."""

MIN_AUTO_GPUS = 0.25
"""More than four trials on one GPU wait for each other."""


@dataclass(frozen=True)
class Machine:
    """What Ray can hand out, of one machine or of a cluster.

    Attributes:
        nodes: each with its resources, `{"CPU": 8, "GPU": 1}`.
    """

    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, cpus: int, gpus: float) -> Machine:
        """A single machine."""
        return cls((Node("this machine", {"CPU": cpus, "GPU": gpus}),))

    @property
    def cpus(self) -> int:
        """CPUs of all nodes."""
        return int(sum(node.resources.get("CPU", 0) for node in self.nodes))

    @property
    def gpus(self) -> float:
        """GPUs of all nodes."""
        return sum(node.resources.get("GPU", 0) for node in self.nodes)

    @property
    def cpus_of_largest_node(self) -> int:
        """What one bundle can have at most."""
        return int(max(node.resources.get("CPU", 0) for node in self.nodes))


@dataclass(frozen=True)
class TrialResources:
    """The resources of one trial, every number fixed.

    Attributes:
        env_runners: remote env-runner actors, 0 for sampling in the trial's own process.
        envs_per_env_runner: environments in each.
        cpus_per_env_runner: CPUs that each works on.
        cpus_for_main_process: CPUs of the trial's own process.
        learners: remote learner actors, 0 for learning in the trial's own process.
        gpus_per_learner: GPUs of each learner.
        placement: Ray's placement strategy.
        samples_on_main_cpus: whether the env runners work on the main process's CPUs, while it waits for
            them, and not on some of their own.
    """

    env_runners: int
    envs_per_env_runner: int
    cpus_per_env_runner: float
    cpus_for_main_process: int
    learners: int
    gpus_per_learner: float
    placement: str
    samples_on_main_cpus: bool = False

    @property
    def envs(self) -> int:
        """Environments of the whole trial."""
        return self.envs_per_env_runner * max(1, self.env_runners)

    @property
    def reserved_cpus(self) -> tuple[float, float]:
        """CPUs of the bundles of the main process and of an env runner.

        Where they work in turn and on the same CPUs, one is the main process's and the env runners have equal
        parts of the others, in the steps that Ray counts in.
        """
        if not self.samples_on_main_cpus:
            return self.cpus_for_main_process, self.cpus_per_env_runner
        part = (self.cpus_for_main_process - 1) / self.env_runners
        return 1, math.floor(part * RESOURCE_STEPS) / RESOURCE_STEPS

    @property
    def bundles(self) -> list[dict[str, float]]:
        """The bundles of the trial's placement group: main process, env runners, learners."""
        main_cpus, runner_cpus = self.reserved_cpus
        main: dict[str, float] = {"CPU": main_cpus}
        if not self.learners:
            main["GPU"] = self.gpus_per_learner
        cpus_per_learner = 0 if self.gpus_per_learner else 1
        runner = {"CPU": runner_cpus}
        learner = {"CPU": cpus_per_learner, "GPU": self.gpus_per_learner}
        bundles = [main, *[runner] * self.env_runners, *[learner] * self.learners]
        return [{kind: amount for kind, amount in bundle.items() if amount} for bundle in bundles]

    @property
    def cpus(self) -> float:
        """CPUs of all bundles."""
        return sum(bundle.get("CPU", 0) for bundle in self.bundles)

    @property
    def gpus(self) -> float:
        """GPUs of all bundles."""
        return sum(bundle.get("GPU", 0) for bundle in self.bundles)


def resolve(sweep: Sweep, machine: Machine, num_trials: int) -> TrialResources:
    """Fix every `auto` of `resources:` for a machine that has `num_trials` to run.

    Raises:
        PreflightError: one trial can never be placed on the machine.
    """
    spec, algorithm = sweep.resources, sweep.algorithm
    share = max(1, min(machine.cpus // max(1, num_trials), machine.cpus_of_largest_node))
    env_runners = _auto_env_runners(algorithm, share) if spec.env_runners == "auto" else spec.env_runners
    main_cpus = _cpus_for_main_process(sweep, share, env_runners)
    parts = _parts(sweep, main_cpus)
    resources = TrialResources(
        env_runners=parts or env_runners,
        envs_per_env_runner=spec.envs_per_env_runner // max(1, parts),
        cpus_per_env_runner=main_cpus // parts if parts else spec.cpus_per_env_runner,
        cpus_for_main_process=main_cpus,
        learners=spec.learners,
        gpus_per_learner=_gpus_per_learner(spec, machine, num_trials),
        placement=spec.placement,
        samples_on_main_cpus=bool(parts),
    )
    miss = nearest_miss(resources.bundles, resources.placement, machine.nodes)
    if miss is not None:
        raise _refusal(resources, miss)
    return resources


def _refusal(resources: TrialResources, miss: Miss) -> PreflightError:
    """What no node can hold, the node that comes nearest, and what to write instead."""
    parts = [_bundle_name(resources, miss.bundle)]
    lacking = [lack.resource for lack in miss.lacks]
    if miss.node is not None:
        found = ", ".join(
            f"{lack.wanted:g} {lack.resource} where {lack.there:g} is free" for lack in miss.lacks
        )
        parts.append(f"{miss.node} comes nearest: {found}")
    else:
        parts.append("no node is left for it")
    if miss.reason:
        parts.append(miss.reason)
    if "GPU" in lacking:
        parts.append("run with --cpu, or write resources: {gpus: auto} to fall back to the CPU")
        return PreflightError("; ".join(parts), key="resources.gpus_per_learner")
    parts.append(
        f"one trial takes {resources.cpus:g} CPUs in {len(resources.bundles)} bundles; lower "
        "resources.env_runners, resources.cpus_per_env_runner or resources.cpus_for_main_process"
    )
    return PreflightError("; ".join(parts), key="resources.env_runners")


def _bundle_name(resources: TrialResources, index: int | None) -> str:
    if index is None:
        return "one trial can never start: its bundles together fit on no node"
    content = ", ".join(f"{amount:g} {kind}" for kind, amount in resources.bundles[index].items())
    is_runner = 0 < index <= resources.env_runners
    role = "main process" if index == 0 else "env runner" if is_runner else "learner"
    return f"one trial can never start: the bundle of its {role} ({{{content}}}) fits on no node"


def _auto_env_runners(algorithm: Algorithm, share: int) -> int:
    return max(1, min(share, MAX_AUTO_CPUS) - 1) if algorithm in ASYNCHRONOUS else 0


def _cpus_for_main_process(sweep: Sweep, share: int, env_runners: int) -> int:
    spec = sweep.resources
    if spec.cpus_for_main_process != "auto":
        return spec.cpus_for_main_process
    if spec.learners:
        return 1
    has_images = sweep.network.name != "mlp"
    most = MAX_AUTO_CPUS if has_images else MAX_AUTO_CPUS_WITHOUT_IMAGES.get(sweep.algorithm, 1)
    return min(max(1, share - int(env_runners * spec.cpus_per_env_runner)), most)


def _parts(sweep: Sweep, cpus: int) -> int:
    """Into how many env runners a trial's games are divided, evenly; 0 leaves them in the main process.

    PPO samples and learns in turn, so all its CPUs can do both. One process for each of them samples faster
    than threads of one process, which wait for each other in every step (docs/decisions/0007).
    """
    spec = sweep.resources
    if spec.env_runners != "auto" or sweep.algorithm != "ppo" or not sweep.env.is_atari:
        return 0
    games, most = spec.envs_per_env_runner, int(cpus / spec.cpus_per_env_runner)
    even = [parts for parts in range(2, most + 1) if games % parts == 0]
    return max((parts for parts in even if games // parts >= MIN_GAMES_PER_ENV_RUNNER), default=0)


def _gpus_per_learner(spec: ResourceSpec, machine: Machine, num_trials: int) -> float:
    if spec.gpus_per_learner == "auto":
        share = machine.gpus / max(1, num_trials) / max(1, spec.learners)
        return min(1.0, max(share, MIN_AUTO_GPUS)) if machine.gpus else 0.0
    wanted = spec.gpus_per_learner * max(1, spec.learners)
    return 0.0 if spec.gpus == "auto" and wanted > machine.gpus else spec.gpus_per_learner
