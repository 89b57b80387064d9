"""`search:`, `objective:` and `confirm:` of a spec: which configurations are tried, and how one is judged."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rlsweep.spec.model import SpecModel
from rlsweep.spec.parameters import Distribution
from rlsweep.spec.quantities import parse_count
from rlsweep.store.rows import ENV_STEPS_TO, METRIC_ALIASES, SECONDS_TO

SearchMethod = Literal["grid", "random", "sobol", "tpe", "cmaes", "gp", "nsga2"]
OverSeeds = Literal["mean", "median", "worst", "iqm"]

LISTED_METHODS = ("grid", "random", "sobol")
"""Their configurations are known before anything runs; the others learn from the results."""

SINGLE_OBJECTIVE_METHODS = ("cmaes",)
"""Optuna's samplers that cannot weigh several objectives."""

MEASURES = ("metric", "env_steps_to", "seconds_to")
"""An objective has one of them."""

MAX_CONFIGURATIONS = 20_000
MAX_TRIALS = 100_000
MAX_SEEDS = 1_000

Count = Annotated[int, Field(ge=0)]


def _name_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _objective_list(value: Any) -> Any:
    return (value,) if isinstance(value, dict) else value


class SearchSpec(SpecModel):
    """`search:`: which configurations are tried.

    Attributes:
        method: `grid` tries every combination; `random` and `sobol` (scrambled Sobol sequence, Owen 1998)
            draw `trials`; `tpe` (Bergstra et al. 2011), `cmaes` (Hansen 2016), `gp` (Gaussian process) and
            `nsga2` (Deb et al. 2002, for several objectives) choose by the results so far.
        trials: number of configurations, each once per seed; a grid has as many as it has.
        seed: of the draws, so that two runs try the same configurations.
        space: files of search_spaces/ merged under `parameters`.
        parameters: dotted path into the spec -> range.
        points: configurations that are tried first, dotted path -> value; what a point leaves out is drawn.
        try_defaults: the values that the spec has without the search are the first configuration, where
            they lie in the ranges.
    """

    method: SearchMethod = "random"
    trials: (
        Annotated[
            int,
            BeforeValidator(parse_count, json_schema_input_type=int | str),
            Field(gt=0, le=MAX_CONFIGURATIONS),
        ]
        | None
    ) = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    space: Annotated[
        tuple[str, ...], BeforeValidator(_name_list, json_schema_input_type=str | list[str])
    ] = ()
    parameters: dict[str, Distribution] = Field(default_factory=dict)
    points: list[dict[str, Any]] = Field(default_factory=list)
    try_defaults: bool = True

    @property
    def is_listed(self) -> bool:
        """Whether every configuration is known before anything runs."""
        return self.method in LISTED_METHODS or not self.parameters

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if self.method != "grid" and self.trials is None and self.parameters:
            raise ValueError(f"`method: {self.method}` needs `trials`, the number of configurations")
        if self.method == "grid":
            self._check_grid()
        return self

    def _check_grid(self) -> None:
        endless = [path for path, range_ in self.parameters.items() if range_.choices is None]
        if endless:
            raise ValueError(
                f"a grid needs listed values, {', '.join(endless)} is a range; "
                "write `values: [...]`, a `step`, or `method: random`"
            )
        if self.trials is not None:
            raise ValueError("a grid tries every combination; `trials` is for the other methods")
        if self.points:
            raise ValueError("a grid tries every combination; `points` is for the other methods")


class ObjectiveSpec(SpecModel):
    """`objective:`: what configurations are compared by. `goal` has no default.

    Attributes:
        metric: a row key; `score` (mean of the last whole games of training), `eval_score`, `auc` (mean score
            over the env steps so far: sample efficiency), `human_normalized` (Mnih et al. 2015).
        env_steps_to, seconds_to: instead of `metric`: env steps or training seconds until this score.
        goal: maximize or minimize.
        over_seeds: one number for a configuration from those of its seeds; `worst` by the goal, `iqm` the
            interquartile mean (Agarwal et al. 2021).
    """

    metric: str | None = None
    env_steps_to: float | None = None
    seconds_to: float | None = None
    goal: Literal["maximize", "minimize"]
    over_seeds: OverSeeds = "mean"

    @model_validator(mode="before")
    @classmethod
    def _default_metric(cls, data: Any) -> Any:
        is_bare = isinstance(data, dict) and not set(MEASURES) & set(data)
        return {**data, "metric": "score"} if is_bare else data

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        written = [name for name in MEASURES if getattr(self, name) is not None]
        if len(written) != 1:
            raise ValueError(f"{' and '.join(written)}: write one of {', '.join(MEASURES)}")
        if self.metric is None and self.goal != "minimize":
            raise ValueError(f"less {written[0].removesuffix('_to')} is better: goal: minimize")
        return self

    @property
    def key(self) -> str:
        """The row key that holds the value."""
        if self.metric is not None:
            return METRIC_ALIASES.get(self.metric, self.metric)
        prefix = ENV_STEPS_TO if self.env_steps_to is not None else SECONDS_TO
        return f"{prefix}{self.threshold:.12g}"

    @property
    def threshold(self) -> float | None:
        """The score to reach, for the objectives that wait for one."""
        return self.env_steps_to if self.env_steps_to is not None else self.seconds_to


Objectives = Annotated[
    tuple[ObjectiveSpec, ...],
    BeforeValidator(_objective_list, json_schema_input_type=ObjectiveSpec | list[ObjectiveSpec]),
    Field(min_length=1, max_length=5),
]


class ConfirmSpec(SpecModel):
    """`confirm:`: the best configurations run again with seeds that the search has not seen.

    The best of many noisy results is partly the luckiest (the winner's curse); the winner is named by these
    seeds alone.

    Attributes:
        top: configurations that run again.
        seeds: new seeds of each.
    """

    top: Annotated[int, Field(gt=0, le=MAX_SEEDS)] = 3
    seeds: Annotated[int, Field(gt=0, le=MAX_SEEDS)] = 5
