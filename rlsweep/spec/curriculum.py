"""`curriculum:` of a spec: phases that a trial goes through while it trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from rlsweep.spec.env import EnvSpec
from rlsweep.spec.model import SpecModel
from rlsweep.spec.quantities import EnvSteps, EnvStepsFrom0
from rlsweep.store.rows import METRIC_ALIASES, SCORE_WINDOW

PositiveInt = Annotated[int, Field(gt=0, le=100_000)]


class Bound(SpecModel):
    """What a row's value must be; a number alone is `at_least`.

    Attributes:
        at_least: the value or more.
        below: less than the value.
    """

    at_least: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Bound:
        if self.at_least is None and self.below is None:
            raise ValueError("write a number (at least that), `at_least` or `below`")
        return self

    @property
    def as_written(self) -> Any:
        """A number alone where it says no more."""
        return self.at_least if self.below is None else self.model_dump(exclude_unset=True)

    def holds(self, value: float) -> bool:
        """Whether a value lies inside; a value that is no number never does."""
        is_enough = self.at_least is None or value >= self.at_least
        return is_enough and (self.below is None or value < self.below) and not math.isnan(value)


def _bound(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {"at_least": value} if is_number else value


RowBound = Annotated[Bound, BeforeValidator(_bound, json_schema_input_type=float | Bound)]


class UntilSpec(SpecModel):
    """`until:` of a phase: all of what is written has to be so at the end of an iteration.

    Every other key is a key of the result rows, with the number that it must reach, or with `at_least` and
    `below`. `score`, `score_std`, `score_min`, `score_max`, `score_median` and `human_normalized` are of
    the phase's last whole games.

    Attributes:
        games: whole games of this phase that `score` is taken over, all of which have to be there.
        env_steps: so many env steps in this phase.
        for: all has to be so for this many env steps.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, RowBound] = Field(init=False)

    games: PositiveInt | None = None
    env_steps: EnvSteps | None = None
    hold: EnvSteps | None = Field(default=None, alias="for")

    @property
    def bounds(self) -> dict[str, Bound]:
        """Row key -> its bound."""
        return {METRIC_ALIASES.get(key, key): bound for key, bound in self.__pydantic_extra__.items()}

    @property
    def window(self) -> int:
        """Whole games that `score` is taken over."""
        return self.games or SCORE_WINDOW

    @model_validator(mode="after")
    def _says_something(self) -> UntilSpec:
        if not self.__pydantic_extra__ and self.games is None and self.env_steps is None:
            raise ValueError("write what has to be reached: {score: 20}, {env_steps: 1M}")
        return self


class DemoteSpec(SpecModel):
    """`curriculum.demote`: back one phase when the score stays low.

    Attributes:
        below: the mean score of the phase's last `games` whole games.
        for: env steps that it has to stay there.
        games: whole games of this phase, all of which have to be there.
    """

    below: float
    hold: EnvSteps = Field(alias="for")
    games: PositiveInt = SCORE_WINDOW


class PhaseSpec(SpecModel):
    """One item of `curriculum.phases`.

    Attributes:
        name: in rows, figures and MLflow.
        env: settings that differ from the spec's `env:`; another game too, with the same actions.
        training: hyperparameters that differ from the spec's: numbers, and only those that may have a
            schedule.
        until: when the next phase begins.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    env: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, float] = Field(default_factory=dict)
    until: UntilSpec | None = None

    def env_of(self, base: EnvSpec) -> EnvSpec:
        """The environment in this phase: the spec's own with this phase's settings laid over it.

        Raises:
            pydantic.ValidationError: a setting does not fit.
        """
        return EnvSpec.model_validate(self.written_env(base)) if self.env else base

    def written_env(self, base: EnvSpec) -> dict[str, Any]:
        """The same as it would stand under `env:`."""
        merged = {**base.model_dump(mode="json", exclude_unset=True), **self.env}
        kwargs = self.env.get("kwargs", {})
        if merged["id"] != base.id:
            merged["kwargs"] = kwargs  # those of another environment mean nothing here
        elif isinstance(kwargs, Mapping):
            merged["kwargs"] = {**base.kwargs, **kwargs}
        return merged


class CurriculumSpec(SpecModel):
    """`curriculum:`: Bengio et al. 2009, "Curriculum Learning", by performance or by env steps.

    Attributes:
        phases: in order; a trial begins in the first.
        demote: when a trial goes back one phase; it never does without.
        schedule: `[[0, first], [1M, second]]`: which phase begins after how many env steps of the trial,
            instead of `until`.
        evaluate_in: `env`: evaluation games are played in the spec's own `env:`, the same in every phase;
            `phase`: in that of the phase.
    """

    phases: Annotated[tuple[PhaseSpec, ...], Field(min_length=2, max_length=100)]
    demote: DemoteSpec | None = None
    schedule: tuple[tuple[EnvStepsFrom0, str], ...] | None = None
    evaluate_in: Literal["env", "phase"] = "env"

    @property
    def window(self) -> int:
        """Whole games that are remembered: as many as the longest condition looks back on."""
        windows = [phase.until.window for phase in self.phases if phase.until is not None]
        return max([*windows, *([self.demote.games] if self.demote else []), 1])

    def scheduled(self, env_steps: int) -> int:
        """The index of the phase that `schedule` foresees after so many env steps of a trial."""
        begun = [name for start, name in self.schedule or () if start <= env_steps]
        names = [phase.name for phase in self.phases]
        return names.index(begun[-1]) if begun else 0
