"""What a plan will cost: env steps, wall time, GPU hours. The arithmetic of each scheduler stands here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rlsweep.plan.plan import Plan
from rlsweep.spec import AshaSpec, HyperbandSpec, MedianSpec, Pb2Spec, PbtSpec, Sweep

SECONDS_PER_HOUR = 3600.0

MIN_CHECKPOINTS_OF_A_MEMBER = 4
"""Members of a population exploit each other's checkpoints, which must not be deleted before they do."""


@dataclass(frozen=True)
class Work:
    """The training that a sweep asks for.

    Attributes:
        trials: of the search.
        confirming_trials: that run afterwards, with new seeds.
        env_steps: expected, of all of them.
        frames: the same in emulator frames.
        most_env_steps: if no trial stops early.
        basis: how the expectation was made, as words.
    """

    trials: int
    confirming_trials: int
    env_steps: int
    frames: int
    most_env_steps: int
    basis: str


@dataclass(frozen=True)
class Cost:
    """What that training takes of the machine.

    Attributes:
        wall_seconds: of training, with as many trials at once as fit; no evaluation, no start-up.
        gpu_hours: GPUs of each trial times its hours, summed.
        basis: where the throughput comes from, as words.
    """

    wall_seconds: float
    gpu_hours: float
    basis: str


def expected_work(plan: Plan) -> Work:
    """The env steps of a plan, with what its scheduler is expected to save."""
    sweep = plan.sweep
    lengths = _lengths(plan)
    confirm = sweep.confirm
    confirming = min(confirm.top, plan.num_configurations) * confirm.seeds if confirm else 0
    confirming_env_steps = confirming * max(lengths)
    searched, basis = _searched_env_steps(sweep, lengths)
    env_steps = round(searched) + confirming_env_steps
    return Work(
        trials=plan.num_trials,
        confirming_trials=confirming,
        env_steps=env_steps,
        frames=round(env_steps * _frames_per_env_step(plan)),
        most_env_steps=sum(lengths) + confirming_env_steps,
        basis=basis,
    )


def _frames_per_env_step(plan: Plan) -> float:
    """Over all trials; they differ where the frame skip is swept."""
    sweeps = [trial.sweep for trial in plan.trials] or [plan.sweep]
    frames = sum(sweep.stop.env_steps * sweep.env.frames_per_env_step for sweep in sweeps)
    return frames / sum(sweep.stop.env_steps for sweep in sweeps)


def _lengths(plan: Plan) -> list[int]:
    """Env steps of each trial; they differ where the frame skip is swept and `stop` is in frames."""
    known = [trial.sweep.stop.env_steps for trial in plan.trials]
    return known or [plan.sweep.stop.env_steps] * plan.num_trials


def expected_cost(plan: Plan, work: Work, env_steps_per_second: float, basis: str) -> Cost:
    """Wall time and GPU hours at a throughput per trial.

    Full trials run in waves of as many as fit at once; where a scheduler stops trials the machine stays
    full, and no trial is shorter than its own length.
    """
    at_once = plan.max_concurrent
    trial_seconds = max(_lengths(plan)) / env_steps_per_second
    if work.env_steps == work.most_env_steps:
        search_seconds = math.ceil(work.trials / at_once) * trial_seconds
    else:
        searched = work.env_steps - work.confirming_trials * max(_lengths(plan))
        search_seconds = max(searched / env_steps_per_second / at_once, trial_seconds)
    confirming_seconds = math.ceil(work.confirming_trials / at_once) * trial_seconds
    gpu_seconds = work.env_steps / env_steps_per_second * plan.resources.gpus
    return Cost(search_seconds + confirming_seconds, gpu_seconds / SECONDS_PER_HOUR, basis)


def num_to_keep(sweep: Sweep) -> int:
    """The best checkpoints that a trial keeps beside its last one."""
    is_population = isinstance(sweep.scheduler, (PbtSpec, Pb2Spec))
    return max(sweep.checkpoints.keep, MIN_CHECKPOINTS_OF_A_MEMBER if is_population else 1)


def _searched_env_steps(sweep: Sweep, lengths: list[int]) -> tuple[float, str]:
    match sweep.scheduler:
        case AshaSpec(grace=grace, reduction_factor=factor):
            text = f"asha: of each rung one in {factor:g} goes on"
            return sum(_asha_share(grace, factor, length) * length for length in lengths), text
        case HyperbandSpec(grace=grace, reduction_factor=factor):
            text = f"hyperband: brackets of rounds from {grace:,} env steps, one in {factor:g} goes on"
            return _hyperband_graces(len(lengths), max(lengths) / grace, factor) * grace, text
        case MedianSpec():
            return sum(lengths), "median: at most; how many it stops depends on the results"
        case _:
            return sum(lengths), f"{sweep.scheduler.type}: every trial runs to its stop"


def _asha_share(grace: int, factor: float, length: int) -> float:
    """The part of a full trial that a trial trains on average, rungs at grace, grace * factor, …"""
    env_steps, chance, rung = 0.0, 1.0, float(grace)
    reached = 0.0
    while rung < length:
        env_steps += chance * (rung - reached)
        reached, rung, chance = rung, rung * factor, chance / factor
    return (env_steps + chance * (length - reached)) / length


def _hyperband_graces(trials: int, length: float, factor: float) -> float:
    """Length of all trials in units of the grace: Tune's brackets, filled one after the other (Li et al.
    2018, algorithm 1, with Tune's sizes)."""
    max_t = max(int(length), 1)
    num_brackets = round(math.log(max_t, factor)) + 1
    total, bracket = 0.0, 0
    while trials > 0:
        round_length = int(max_t * factor**-bracket)
        size = math.ceil(num_brackets / (bracket + 1) * factor**bracket)
        if round_length:
            entered = min(size, trials)
            trials -= entered
            total += _bracket_graces(entered, size, round_length, bracket, length, factor)
        bracket = (bracket + 1) % num_brackets
    return total


def _bracket_graces(
    alive: int, size: int, round_length: int, halvings: int, length: float, factor: float
) -> float:
    """The rounds of one bracket; who survives the last of them runs to its own stop."""
    total, reached = 0.0, 0.0
    for _ in range(halvings):
        total += alive * (round_length - reached)
        reached = round_length
        round_length = int(min(round_length * factor, length))
        size = math.ceil(size / factor)
        alive = min(alive, size)
    return total + alive * (length - reached)
