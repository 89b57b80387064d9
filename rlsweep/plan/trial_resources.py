"""`TrialResources`: what one trial takes, as bundles that Ray's placement groups take."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rlsweep.plan.machine import Machine
from rlsweep.plan.packing import LabelSelector, Miss, Placement, nearest_miss, pack

RESOURCE_STEPS = 10_000
"""Ray counts resources in so many parts of one."""

GPU_DOMAINS = ("GB200", "GB300")
"""Accelerators that Ray wants in the selector of every bundle of a group (`ray/util/placement_group.py`)."""

ACCELERATOR = "ray.io/accelerator-type"
"""The label that Ray gives each node with a GPU: its type, such as `H100`."""


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
        custom_resources: of the main process, by name.
        node_labels: what the labels of the nodes with the main process and the learners must be.
        env_runner_node_labels: the same of the nodes with env runners.
        accelerator: what the label of the nodes with the trial's GPUs must be; empty for any.
    """

    env_runners: int
    envs_per_env_runner: int
    cpus_per_env_runner: float
    cpus_for_main_process: int
    learners: int
    gpus_per_learner: float
    placement: str
    samples_on_main_cpus: bool = False
    custom_resources: tuple[tuple[str, float], ...] = ()
    node_labels: tuple[tuple[str, str], ...] = ()
    env_runner_node_labels: tuple[tuple[str, str], ...] = ()
    accelerator: str = ""

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
        main: dict[str, float] = {"CPU": main_cpus, **dict(self.custom_resources)}
        if not self.learners:
            main["GPU"] = self.gpus_per_learner
        cpus_per_learner = 0 if self.gpus_per_learner else 1
        runner = {"CPU": runner_cpus}
        learner = {"CPU": cpus_per_learner, "GPU": self.gpus_per_learner}
        bundles = [main, *[runner] * self.env_runners, *[learner] * self.learners]
        return [{kind: amount for kind, amount in bundle.items() if amount} for bundle in bundles]

    @property
    def label_selectors(self) -> list[LabelSelector]:
        """For each bundle, what the labels of its node must be."""
        others, runners = dict(self.node_labels), dict(self.env_runner_node_labels)
        if self.gpus and self.accelerator in GPU_DOMAINS:
            others, runners = ({**one, ACCELERATOR: self.accelerator} for one in (others, runners))
        return [
            runners
            if 0 < index <= self.env_runners
            else gpu_labels(others, self.accelerator)
            if bundle.get("GPU")
            else others
            for index, bundle in enumerate(self.bundles)
        ]

    @property
    def cpus(self) -> float:
        """CPUs of all bundles."""
        return sum(bundle.get("CPU", 0) for bundle in self.bundles)

    @property
    def gpus(self) -> float:
        """GPUs of all bundles."""
        return sum(bundle.get("GPU", 0) for bundle in self.bundles)

    def place(self, machine: Machine, wanted: int) -> list[Placement]:
        """Where as many of `wanted` such trials go as an empty machine holds at once."""
        return pack(self.bundles, self.placement, machine.nodes, wanted, self.label_selectors)

    def miss(self, machine: Machine) -> Miss | None:
        """Why a machine holds not even one such trial; None if it does."""
        return nearest_miss(self.bundles, self.placement, machine.nodes, self.label_selectors)


def gpu_labels(node_labels: LabelSelector, accelerator: str | None) -> LabelSelector:
    """What the labels of a node must be whose GPU is asked for."""
    return {**node_labels, ACCELERATOR: accelerator} if accelerator else node_labels
