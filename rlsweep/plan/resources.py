"""`resolve`: what one trial takes of the machine, every `auto` fixed."""

from __future__ import annotations

from rlsweep.plan.machine import Machine
from rlsweep.plan.refusal import refusal
from rlsweep.plan.trial_resources import TrialResources, gpu_labels
from rlsweep.spec import ASYNCHRONOUS, Algorithm, ResourceSpec, Sweep

MAX_AUTO_CPUS = 8
"""More cores than this no longer speed up one trial's small network; more trials use the rest."""

MAX_AUTO_CPUS_WITHOUT_IMAGES = {"dqn": 2}
"""Batches that are no images are too small to be divided; DQN samples while it learns. Others take one."""

MIN_GAMES_PER_ENV_RUNNER = 4
"""With fewer games an env runner's forward passes are too small to be worth a process."""

MIN_AUTO_GPUS = 0.25
"""More than four trials on one GPU wait for each other."""


def resolve(sweep: Sweep, machine: Machine, num_trials: int) -> TrialResources:
    """Fix every `auto` of `resources:` for a machine that has `num_trials` to run.

    Raises:
        PreflightError: one trial can never be placed on the machine.
    """
    resources = fix(sweep, machine, num_trials)
    miss = resources.miss(machine)
    if miss is not None and resources.gpus and sweep.resources.gpus == "auto":
        resources = fix(sweep, machine, num_trials, is_on_cpu=True)
        miss = resources.miss(machine)
    if miss is not None:
        raise refusal(resources, miss)
    return resources


def fix(sweep: Sweep, machine: Machine, num_trials: int, *, is_on_cpu: bool = False) -> TrialResources:
    """The same, whether one trial can be placed or not; without GPUs, if it shall be on the CPU."""
    spec, algorithm = sweep.resources, sweep.algorithm
    gpus = 0.0 if is_on_cpu else _gpus_per_learner(spec, machine, num_trials)
    usable = machine.where(spec.node_labels)
    of_main = _nodes_of_main_process(spec, usable, gpus)
    share = max(1, min(usable.cpus // max(1, num_trials), of_main.cpus_of_largest_node))
    env_runners = _auto_env_runners(algorithm, share) if spec.env_runners == "auto" else spec.env_runners
    main_cpus = _cpus_for_main_process(sweep, share, env_runners)
    parts = _parts(sweep, main_cpus)
    return TrialResources(
        env_runners=parts or env_runners,
        envs_per_env_runner=spec.envs_per_env_runner // max(1, parts),
        cpus_per_env_runner=main_cpus // parts if parts else spec.cpus_per_env_runner,
        cpus_for_main_process=main_cpus,
        learners=spec.learners,
        gpus_per_learner=gpus,
        placement=spec.placement,
        samples_on_main_cpus=bool(parts),
        accelerator=spec.accelerator or "",
        custom_resources=tuple(spec.custom_resources.items()),
        node_labels=tuple(spec.node_labels.items()),
        env_runner_node_labels=tuple(
            (spec.node_labels if spec.env_runner_node_labels is None else spec.env_runner_node_labels).items()
        ),
    )


def _nodes_of_main_process(spec: ResourceSpec, usable: Machine, gpus: float) -> Machine:
    """Those that it can be on: with a GPU, where it learns on one."""
    if spec.learners or not gpus:
        return usable
    of_type = usable.where(gpu_labels({}, spec.accelerator))
    return Machine(tuple(node for node in of_type.nodes if node.resources.get("GPU")))


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
    there = machine.where(gpu_labels(spec.node_labels, spec.accelerator)).gpus
    asked = spec.gpus_per_learner
    if asked == "auto" or asked == "probe":
        if not there:  # who names an accelerator wants one
            return 1.0 if spec.accelerator and spec.gpus == "require" else 0.0
        if asked == "probe":  # until it has been measured
            return 1.0
        if spec.learners > 1:  # NCCL does not let them share one
            return 1.0
        return min(1.0, max(there / max(1, num_trials), MIN_AUTO_GPUS))
    return asked
