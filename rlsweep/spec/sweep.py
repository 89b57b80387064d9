"""The spec as frozen objects: `Sweep` and its sections (the form is described in docs/spec.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from rlsweep.spec.env import EnvSpec
from rlsweep.spec.model import SpecModel
from rlsweep.spec.network import NetworkSpec
from rlsweep.spec.parameters import Distribution
from rlsweep.spec.quantities import EnvSteps, Seconds

Algorithm = Literal["ppo", "appo", "impala", "dqn"]
Count = Annotated[int, Field(ge=0)]
PositiveInt = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What numpy's and torch's generators take."""

MAX_CONFIGURATIONS = 100_000
MAX_SEEDS = 1_000


def _seed_list(value: Any) -> Any:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return list(range(min(value, MAX_SEEDS + 1))) if is_count else value


def _name_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class SearchSpec(SpecModel):
    """`search:`: which configurations are tried.

    Attributes:
        method: `grid` tries every combination, `random` draws `trials` of them.
        trials: number of configurations (random only; a grid has as many as it has).
        seed: of the draws, so that two runs try the same configurations.
        space: files of search_spaces/ merged under `parameters`.
        parameters: dotted path into the spec -> range.
    """

    method: Literal["grid", "random"] = "random"
    trials: Annotated[int, Field(gt=0, le=MAX_CONFIGURATIONS)] | None = None
    seed: Count = 0
    space: Annotated[tuple[str, ...], BeforeValidator(_name_list)] = ()
    parameters: dict[str, Distribution] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _listable(self) -> SearchSpec:
        if self.method == "grid":
            endless = [path for path, range_ in self.parameters.items() if range_.choices is None]
            if endless:
                raise ValueError(
                    f"a grid needs listed values, {', '.join(endless)} is a range; "
                    "write `values: [...]` or `method: random`"
                )
            if self.trials is not None:
                raise ValueError("a grid tries every combination; `trials` is for `method: random`")
        elif self.trials is None and self.parameters:
            raise ValueError(f"`method: {self.method}` needs `trials`, the number of configurations")
        return self


class ObjectiveSpec(SpecModel):
    """`objective:`: the row key by which configurations are compared. `goal` has no default."""

    metric: str = "score"
    goal: Literal["maximize", "minimize"]


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
    reduction_factor: Annotated[float, Field(gt=1)] = 4


class StopSpec(SpecModel):
    """`stop:`: a trial ends when the first of these is reached.

    Attributes:
        env_steps: agent decisions over all env runners.
        score: mean score over the window of whole games, once the window is full.
        time: seconds of training (the row key `seconds`).
    """

    env_steps: EnvSteps
    score: float | None = None
    time: Seconds | None = None


class ResourceSpec(SpecModel):
    """`resources:` of one trial, in RLlib's terms.

    Attributes:
        env_runners: remote env-runner actors; 0 samples in the trial's own process; `auto` chooses 0 for
            PPO and DQN (no copying between processes) and what the machine holds for IMPALA and APPO.
        envs_per_env_runner: games stepped together in one env runner.
        cpus_per_env_runner: CPUs of each env runner.
        cpus_for_main_process: CPUs of the trial's own process; `auto` shares the machine.
        learners: learner actors; 0 learns in the trial's own process.
        gpus_per_learner: GPUs of each learner; a fraction lets trials share one. `auto` shares the
            machine's GPUs among the trials, at least a quarter each, and takes none where none is.
        gpus: where a number was asked for and is not there: `auto` falls back to the CPU, `require`
            (default) refuses to start.
        placement: Ray's placement strategy for the trial's bundles.
        max_concurrent: trials at a time; `auto` fills the machine.
    """

    env_runners: Count | Literal["auto"] = "auto"
    envs_per_env_runner: PositiveInt = 16
    cpus_per_env_runner: Annotated[float, Field(gt=0)] = 1
    cpus_for_main_process: PositiveInt | Literal["auto"] = "auto"
    learners: Count = 0
    gpus_per_learner: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    gpus: Literal["require", "auto"] = "require"
    placement: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] = "PACK"
    max_concurrent: PositiveInt | Literal["auto"] = "auto"


class EvaluationSpec(SpecModel):
    """`evaluation:`: whole games played by the current policy, apart from training.

    Attributes:
        every: env steps between two evaluations.
        games: whole games in one evaluation.
        greedy: the likeliest action instead of a sampled one.
    """

    every: EnvSteps
    games: PositiveInt = 10
    greedy: bool = False


class CheckpointSpec(SpecModel):
    """`checkpoints:`: one every `every` env steps and one at the end; the best `keep` and the last stay."""

    every: EnvSteps
    keep: PositiveInt = 2


class FailureSpec(SpecModel):
    """`failures:`: a trial that dies starts again from its last checkpoint so many times."""

    max_retries: Count = 0


class Sweep(SpecModel):
    """One sweep, as resolved from its spec, the specs it extends, a profile and `--set`."""

    version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
    description: str = ""
    algorithm: Algorithm
    env: EnvSpec
    training: dict[str, Any] = Field(default_factory=dict)
    network: NetworkSpec
    search: SearchSpec = SearchSpec()
    seeds: Annotated[
        tuple[Seed, ...], BeforeValidator(_seed_list), Field(min_length=1, max_length=MAX_SEEDS)
    ] = (0,)
    objective: ObjectiveSpec
    scheduler: Annotated[FifoSpec | AshaSpec, Field(discriminator="type")] = FifoSpec(type="fifo")
    stop: StopSpec
    resources: ResourceSpec = ResourceSpec()
    evaluation: EvaluationSpec | None = None
    checkpoints: CheckpointSpec = CheckpointSpec(every=500_000)
    failures: FailureSpec = FailureSpec()

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"a seed stands twice in {list(seeds)}")
        return seeds
