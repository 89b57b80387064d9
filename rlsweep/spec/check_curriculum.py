"""What is wrong with `curriculum:`: phases that change what cannot change, conditions that never hold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from rlsweep.errors import Location, nearest
from rlsweep.spec.check import validation_issues
from rlsweep.spec.check_training import Fault, hyperparameter_fault
from rlsweep.spec.curriculum import CurriculumSpec, PhaseSpec
from rlsweep.spec.env import EnvSpec
from rlsweep.spec.human_scores import human_scores
from rlsweep.spec.model import SpecModel
from rlsweep.spec.schedules import SCHEDULABLE
from rlsweep.spec.source import Document, KeyPath
from rlsweep.spec.sweep import Sweep
from rlsweep.store.rows import (
    AUC,
    CUSTOM_PREFIX,
    HUMAN_NORMALIZED,
    METRIC_ALIASES,
    SCORE,
    SCORE_BEST,
    SCORE_MAX,
    row_keys,
)

FIXED_ENV = ("frame_stack", "frame_stack_by", "grayscale", "resolution")
"""Settings that shape an observation, and so the network."""

OF_THE_WHOLE_TRIAL = {AUC: SCORE, SCORE_BEST: SCORE_MAX}
"""Row keys that a promotion does not start afresh, so that old games could promote twice, and what to ask
for in their stead."""


class _WithEnv(SpecModel):
    """`env:` under its name, so that what is wrong in it is said as of the spec's own."""

    env: EnvSpec


Found = tuple[str, Fault]


def curriculum_faults(sweep: Sweep) -> Iterator[Found]:
    """Every rule that a sweep's curriculum breaks, each with the dotted path at fault."""
    curriculum = sweep.curriculum
    if curriculum is None:
        return
    yield from _order_faults(curriculum)
    for index, phase in enumerate(curriculum.phases):
        where = f"curriculum.phases.{index}"
        yield from _env_faults(sweep.env, phase, where)
        yield from _training_faults(sweep.algorithm, phase, where)
        yield from _condition_faults(sweep, phase, f"{where}.until")


def _order_faults(curriculum: CurriculumSpec) -> Iterator[Found]:
    names = [phase.name for phase in curriculum.phases]
    for index, name in enumerate(names):
        if name in names[:index]:
            where = f"curriculum.phases.{index}.name"
            yield where, Fault(f"curriculum: two phases are called {name!r}", "a name of its own for each")
    if curriculum.schedule is not None:
        yield from _schedule_faults(curriculum, names)
        return
    for index, phase in enumerate(curriculum.phases[:-1]):
        if phase.until is None:
            message = f"curriculum: phase {phase.name!r} never ends: it has no until"
            allowed = "until: {score: …}, until: {env_steps: …}, or curriculum.schedule"
            yield f"curriculum.phases.{index}", Fault(message, allowed)
    if curriculum.phases[-1].until is not None:
        message = f"curriculum: no phase comes after {names[-1]!r}"
        yield f"curriculum.phases.{len(names) - 1}.until", Fault(message, "no until in the last phase")


def _schedule_faults(curriculum: CurriculumSpec, names: list[str]) -> Iterator[Found]:
    where, schedule = "curriculum.schedule", curriculum.schedule or ()
    for index, (_, name) in enumerate(schedule):
        if name not in names:
            fault = Fault(f"{where}: no phase {name!r}", ", ".join(names), nearest(name, names))
            yield f"{where}.{index}", fault
    if not schedule or schedule[0][0] != 0:
        yield where, Fault(f"{where}: the first phase begins at 0 env steps", f"[[0, {names[0]}], …]")
    if any(left >= right for (left, _), (right, _) in pairwise(schedule)):
        yield where, Fault(f"{where}: the env steps have to rise")
    conditions = [f"phases.{i}.until" for i, phase in enumerate(curriculum.phases) if phase.until]
    for key in [*conditions, *(["demote"] if curriculum.demote else [])]:
        yield f"curriculum.{key}", Fault(f"curriculum.{key} and curriculum.schedule: write one of them")


def _env_faults(base: EnvSpec, phase: PhaseSpec, where: str) -> Iterator[Found]:
    written = phase.written_env(base)
    try:
        env = _WithEnv.model_validate({"env": written}).env
    except ValidationError as error:
        places: dict[KeyPath, Location] = {(): Location(f"{where}.env")}
        places |= {("env", key): Location(f"{where}.env.{key}") for key in phase.env}
        document = Document({"env": written}, places)
        for issue in validation_issues(error, document):
            yield issue.location.source, Fault(f"{where}: {issue.message}", issue.allowed, issue.suggestion)
        return
    if env.is_atari != base.is_atari:
        message = f"{where}.env.id: {env.id} and {base.id} are not both ALE games"
        yield f"{where}.env.id", Fault(message, "an environment with the same observations and actions")
    elif env.is_atari:
        for name in FIXED_ENV:
            if _shape_setting(env, name) != _shape_setting(base, name):
                message = f"{where}.env: {name} shapes the observations, it is the same in all phases"
                yield f"{where}.env.{name if name in phase.env else 'protocol'}", Fault(message)


def _shape_setting(env: EnvSpec, name: str) -> Any:
    return env.stacks_by_connector if name == "frame_stack_by" else getattr(env.atari, name)


def _training_faults(algorithm: str, phase: PhaseSpec, where: str) -> Iterator[Found]:
    allowed = SCHEDULABLE[algorithm]
    for name, value in phase.training.items():
        if name not in allowed:
            message = f"{where}.training.{name} cannot change while {algorithm} trains"
            yield f"{where}.training.{name}", Fault(message, ", ".join(allowed), nearest(name, allowed))
        elif fault := hyperparameter_fault(algorithm, name, value):
            yield f"{where}.training.{name}", fault


def _condition_faults(sweep: Sweep, phase: PhaseSpec, where: str) -> Iterator[Found]:
    if phase.until is None:
        return
    env_id = phase.env.get("id", sweep.env.id)
    known = [key for key in row_keys(sweep.algorithm) if key not in OF_THE_WHOLE_TRIAL]
    for key in phase.until.bounds:
        if key.startswith(CUSTOM_PREFIX) and sweep.callbacks:
            continue  # which keys callbacks add, they say once they are made
        if key in OF_THE_WHOLE_TRIAL:
            message = f"{where}: {key!r} is of all games of a trial, whatever their phases"
            yield f"{where}.{key}", Fault(message, OF_THE_WHOLE_TRIAL[key])
        elif key == HUMAN_NORMALIZED and env_id not in human_scores():
            yield f"{where}.{key}", Fault(f"{where}: no human score is known of {env_id}", SCORE)
        elif key not in known:
            names = [*METRIC_ALIASES, *known]
            message = f"{where}: no row has a key {key!r}"
            yield f"{where}.{key}", Fault(message, ", ".join(names), nearest(key, names))
        elif key.startswith("evaluation/") and sweep.evaluation is None:
            message = f"{where}: {key!r} needs a section evaluation: {{every: …}}"
            yield f"{where}.{key}", Fault(message)
