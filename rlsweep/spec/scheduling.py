"""`scheduler:`, `stop:` and `budget:` of a spec: when a trial ends, and when the sweep does."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from rlsweep.spec.model import SpecModel
from rlsweep.spec.quantities import FRAMES_PER_ENV_STEP, Bytes, EnvSteps, Frames, Seconds, parse_frames

PositiveInt = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=0.5)]
Factor = Annotated[float, Field(ge=1.5, le=100)]
Chance = Annotated[float, Field(ge=0, le=1)]


class FifoSpec(SpecModel):
    """Every trial runs to its stop."""

    type: Literal["fifo"]


class AshaSpec(SpecModel):
    """Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (ASHA).

    Attributes:
        grace: env steps that every trial gets (the lowest rung).
        reduction_factor: the share 1/reduction_factor of each rung goes on (the paper's eta, 4).
    """

    type: Literal["asha"]
    grace: EnvSteps
    reduction_factor: Factor = 4


class HyperbandSpec(SpecModel):
    """Li et al. 2018, "Hyperband": brackets of successive halving, from cautious to greedy.

    Attributes:
        grace: env steps of the shortest round.
        reduction_factor: the share 1/reduction_factor of each round goes on (the paper's eta, 3).
    """

    type: Literal["hyperband"]
    grace: EnvSteps
    reduction_factor: Factor = 3


class MedianSpec(SpecModel):
    """Golovin et al. 2017, "Google Vizier": stop a trial whose best value is below the median of the others'
    running means.

    Attributes:
        grace: env steps that every trial gets.
        min_trials: trials that have come so far before one can be stopped.
    """

    type: Literal["median"]
    grace: EnvSteps
    min_trials: PositiveInt = 3


class PbtSpec(SpecModel):
    """Jaderberg et al. 2017, "Population Based Training of Neural Networks".

    Attributes:
        every: env steps between two looks at the population.
        quantile: the worst share takes over weights and values of members of the best one (the paper: 0.2).
        resample: chance that a value is drawn anew instead of perturbed (the paper: 0.25).
        factors: what a number is perturbed by (the paper: 1.2, 0.8).
    """

    type: Literal["pbt"]
    every: EnvSteps
    quantile: Share = 0.25
    resample: Chance = 0.25
    factors: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (1.2, 0.8)


class Pb2Spec(SpecModel):
    """Parker-Holder et al. 2020, "Provably Efficient Online Hyperparameter Optimization with Population-Based
    Bandits": as PBT, the new values chosen by a Gaussian process.

    Attributes:
        every, quantile: as of PBT.
    """

    type: Literal["pb2"]
    every: EnvSteps
    quantile: Share = 0.25


SchedulerSpec = Annotated[
    FifoSpec | AshaSpec | HyperbandSpec | MedianSpec | PbtSpec | Pb2Spec, Field(discriminator="type")
]


class StopSpec(SpecModel):
    """`stop:`: a trial ends when the first of these is reached.

    Attributes:
        env_steps: agent decisions over all env runners; the smaller of the two where `frames` is written too.
        frames: emulator frames, instead of `env_steps` or beside it.
        iterations: training iterations (rows).
        score: mean score over the window of whole games, once the window is full.
        no_improvement: env steps without a new best score, counted from the first valid one.
        time: wall time of the trial's work, evaluation included.
    """

    env_steps: EnvSteps
    frames: Frames | None = None
    iterations: PositiveInt | None = None
    score: float | None = None
    no_improvement: EnvSteps | None = None
    time: Seconds | None = None

    @model_validator(mode="before")
    @classmethod
    def _frames_are_env_steps(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "frames" not in data or "env_steps" in data:
            return data
        try:
            frames = parse_frames(data["frames"])
        except ValueError:
            frames = 1  # reported as what it is, the value of `frames`
        return {**data, "env_steps": f"{frames} frames" if isinstance(frames, int) and frames > 0 else 1}

    @model_validator(mode="wrap")
    @classmethod
    def _the_smaller_of_both(cls, data: Any, handler: Any, info: Any) -> Self:
        stop: Self = handler(data)
        if stop.frames is None:
            return stop
        frames_per_env_step = (info.context or {}).get(FRAMES_PER_ENV_STEP, 1)
        return stop.model_copy(
            update={"env_steps": min(stop.env_steps, -(-stop.frames // frames_per_env_step))}
        )


class BudgetSpec(SpecModel):
    """`budget:`: the sweep ends when the first of these is spent; what runs then is stopped and kept.

    Attributes:
        gpu_hours: GPUs of each trial times its hours, summed over trials, those of earlier runs included.
        wall_time: of one `rlsweep run`.
        trials: number of trials of the search (configurations times seeds).
        disk: what the checkpoints may take; a plan that needs more is refused.
    """

    gpu_hours: Annotated[float, Field(gt=0)] | None = None
    wall_time: Seconds | None = None
    trials: PositiveInt | None = None
    disk: Bytes | None = None
