"""The spec as frozen objects: `Sweep` and its sections (the form is described in docs/spec.md)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError, field_validator

from rlsweep.spec.callbacks import NamedCallback
from rlsweep.spec.curriculum import CurriculumSpec
from rlsweep.spec.env import EnvSpec
from rlsweep.spec.failures import FailureSpec
from rlsweep.spec.human_scores import human_scores
from rlsweep.spec.model import SpecModel
from rlsweep.spec.network import NetworkSpec
from rlsweep.spec.quantities import FRAMES_PER_ENV_STEP, Bytes, EnvSteps, EnvStepsFrom0
from rlsweep.spec.resources import ResourceSpec
from rlsweep.spec.scheduling import BudgetSpec, FifoSpec, PositiveInt, SchedulerSpec, StopSpec
from rlsweep.spec.search import MAX_SEEDS, ConfirmSpec, Objectives, SearchSpec
from rlsweep.store.layout import is_name
from rlsweep.store.manifest import ENV_ID
from rlsweep.store.rows import TRACKED_KEYS

Algorithm = Literal["ppo", "appo", "impala", "dqn"]
ASYNCHRONOUS: tuple[Algorithm, ...] = ("impala", "appo")
"""Those whose env runners sample while the learner learns."""

CONFIRMING_SEEDS = 1_000_000
"""Seeds from here on are those of `confirm`: a search never uses them."""

Seed = Annotated[int, Field(ge=0, lt=CONFIRMING_SEEDS)]


def _seed_list(value: Any) -> Any:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return list(range(min(value, MAX_SEEDS + 1))) if is_count else value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]

RESERVED_NAMES = ("artifacts", "mlflow.db")


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


class ExplorationSpec(SpecModel):
    """`exploration:` while training; evaluation and rollout games do not know it.

    The policies of PPO, APPO and IMPALA explore by being sampled, DQN's by `training.epsilon` (or `noisy`).

    Attributes:
        random_env_steps: a trial's first env steps, in which actions are drawn uniformly (those of a Box
            from a standard normal distribution before it is scaled to the bounds).
        softmax_temperature: DQN's actions are drawn from softmax(Q / temperature), and not the best one
            taken (Sutton and Barto 2018, section 2.8, Boltzmann exploration).
    """

    random_env_steps: EnvStepsFrom0 = 0
    softmax_temperature: Annotated[float, Field(gt=0)] | None = None


class CheckpointSpec(SpecModel):
    """`checkpoints:`: one every `every` env steps and one at the end; the best `keep` and the last stay.

    Attributes:
        every: env steps between two of them.
        keep: the best ones.
        replay_buffer: DQN's replay buffer is saved too, compressed; without it, a trial that goes on from a
            checkpoint samples as many env steps as at its start before it learns again.
        min_free: bytes that stay free on the disk of the runs: with less, a sweep does not begin, and one
            that runs makes only those checkpoints that cannot wait, until there is room again.
    """

    every: EnvSteps
    keep: PositiveInt = 2
    replay_buffer: bool = False
    min_free: Bytes = 10**9


class TrackingSpec(SpecModel):
    """`tracking:` in MLflow; the history on disk has everything in any case.

    Attributes:
        metrics: patterns of the row keys that become metrics (`learner/*`); at most 2,000 points of each.
        system_metrics: CPU, memory, disk, network, GPU of the driver's node, by MLflow's own monitor, at the
            parent run.
        register_as: (`register`) name of a registered model whose version `best` the winner becomes.
        parent_run: name of a run above the sweep's own, and of the experiment of both. Sweeps that name the
            same one, each with a driver of its own, stand below it together.
    """

    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = TRACKED_KEYS
    system_metrics: bool = False
    register_as: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(None, alias="register")
    parent_run: Name | None = None

    @field_validator("register_as")
    @classmethod
    def _takes_mlflow(cls, name: str | None) -> str | None:
        if name is not None and (not is_name(name) or ":" in name):
            raise ValueError(f"{name!r}: the name of a model has no / and no : in it")
        return name


class Sweep(SpecModel):
    """One sweep, as resolved from its spec, the specs it extends, a profile and `--set`.

    Made by `Sweep.parse`, which knows how many frames an env step has.

    Attributes:
        deterministic: operations of torch that have no deterministic form are refused, and so are
            algorithms whose updates depend on which samples happen to have arrived.
    """

    version: Literal[1]
    name: Name
    description: str = ""
    algorithm: Algorithm
    env: EnvSpec
    training: dict[str, Any] = Field(default_factory=dict)
    network: NetworkSpec
    search: SearchSpec = SearchSpec()
    seeds: Annotated[
        tuple[Seed, ...],
        BeforeValidator(_seed_list, json_schema_input_type=int | list[int]),
        Field(min_length=1, max_length=MAX_SEEDS),
    ] = (0,)
    objective: Objectives
    confirm: ConfirmSpec | None = None
    scheduler: SchedulerSpec = FifoSpec(type="fifo")
    stop: StopSpec
    budget: BudgetSpec = BudgetSpec()
    resources: ResourceSpec = ResourceSpec()
    exploration: ExplorationSpec = ExplorationSpec()
    evaluation: EvaluationSpec | None = None
    curriculum: CurriculumSpec | None = None
    callbacks: tuple[NamedCallback, ...] = ()
    checkpoints: CheckpointSpec = CheckpointSpec(every=500_000)
    failures: FailureSpec = FailureSpec()
    tracking: TrackingSpec = TrackingSpec()
    deterministic: bool = False

    _written: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self:
        """A sweep from plain data; quantities in frames are divided by the environment's frame skip.

        Raises:
            pydantic.ValidationError: every value that does not fit.
        """
        sweep = cls.model_validate(data, context={FRAMES_PER_ENV_STEP: _frames_per_env_step(data)})
        sweep._written = dict(data)
        return sweep

    def as_written(self) -> dict[str, Any]:
        """A copy of the data that the sweep was parsed from, quantities and all."""
        return copy.deepcopy(self._written)

    @property
    def games(self) -> tuple[str, ...]:
        """The ALE games that every configuration plays, where `search.parameters` sweeps ENV_ID over several
        with known human scores; empty otherwise. Their trials are one configuration's, as its seeds are."""
        swept = self.search.parameters.get(ENV_ID)
        choices = tuple((swept.choices if swept else None) or ())
        return choices if len(choices) > 1 and all(game in human_scores() for game in choices) else ()

    def env_in_phase(self, index: int) -> EnvSpec:
        """The environment in a phase of the curriculum; `env` where there is none."""
        return self.curriculum.phases[index].env_of(self.env) if self.curriculum else self.env

    @field_validator("name")
    @classmethod
    def _not_mlflows(cls, name: str) -> str:
        if name in RESERVED_NAMES:
            raise ValueError(f"runs/{name} is MLflow's; choose another name")
        return name

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"a seed stands twice in {list(seeds)}")
        return seeds


def _frames_per_env_step(data: Mapping[str, Any]) -> int:
    try:
        return EnvSpec.model_validate(data.get("env")).frames_per_env_step
    except ValidationError:
        return 1  # the environment's own mistakes are reported with the rest
