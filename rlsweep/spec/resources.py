"""`resources:`, what one trial takes and where."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rlsweep.spec.model import SpecModel
from rlsweep.spec.quantities import Seconds
from rlsweep.spec.scheduling import PositiveInt

# Kubernetes' syntax of labels, with Ray's conditions (`ray/_private/label_utils.py`).
_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"
_LABEL_NAME = rf"({_LABEL}(\.{_LABEL})*/)?{_LABEL}"
_LABEL_CONDITION = rf"!?({_LABEL}|in\({_LABEL}(, ?{_LABEL})*\))"


SMALLEST_AMOUNT = 1e-4
"""Of a resource, that Ray knows."""


def _is_label_name(text: str) -> str:
    if not re.fullmatch(_LABEL_NAME, text):
        raise ValueError(
            "is no name of a label; allowed: letters, digits, -, _ and ., with an optional prefix/"
        )
    return text


def _is_label_condition(text: str) -> str:
    if not re.fullmatch(_LABEL_CONDITION, text):
        raise ValueError("is no condition of a label; allowed: x, !x, in(x,y), !in(x,y)")
    return text


def _is_custom(name: str) -> str:
    if name in ("CPU", "GPU", "memory", "object_store_memory") or ":" in name:
        raise ValueError("is Ray's own; CPUs and GPUs have keys of their own in resources:")
    return name


def _is_amount(number: float) -> float:
    if 0 < number < SMALLEST_AMOUNT:
        raise ValueError(f"is too little for Ray; allowed: 0, or at least {SMALLEST_AMOUNT:g}")
    return number


def _is_gpu_amount(number: float) -> float:
    if number > 1 and number % 1:
        raise ValueError("is no number of GPUs; allowed: a part of one, up to 1, or a whole number")
    return _is_amount(number)


LabelName = Annotated[str, AfterValidator(_is_label_name)]
LabelCondition = Annotated[
    str, AfterValidator(_is_label_condition), Field(json_schema_extra={"pattern": f"^{_LABEL_CONDITION}$"})
]
Amount = Annotated[float, Field(gt=0, le=10_000), AfterValidator(_is_amount)]
GpuAmount = Annotated[float, Field(ge=0, le=10_000), AfterValidator(_is_gpu_amount)]
CustomResource = Annotated[str, Field(min_length=1), AfterValidator(_is_custom)]


class ResourceSpec(SpecModel):
    """`resources:` of one trial, in RLlib's terms.

    Attributes:
        env_runners: remote env-runner actors; 0 samples in the trial's own process. `auto`: what the
            machine holds for IMPALA and APPO; 0 for DQN, and for PPO if it is not Atari. PPO's games on Atari
            are divided evenly among env runners, one for each CPU of the main process, which waits for
            them; with one CPU, or too few games, they stay in the main process.
        envs_per_env_runner: games stepped together in one env runner, before `auto` divides them.
        cpus_per_env_runner: CPUs of each env runner.
        cpus_for_main_process: CPUs of the trial's own process; `auto` shares the machine.
        learners: learner actors; 0 learns in the trial's own process.
        gpus_per_learner: GPUs of each learner; a fraction lets trials share one. `auto` shares the
            machine's GPUs among the trials, at least a quarter each, and takes none where none is. `probe`
            lets one trial train on a whole GPU before the sweep, and has so many share one as its memory and
            time hold, four at most.
        gpus: where a number was asked for and is not there: `auto` falls back to the CPU, `require`
            (default) refuses to start.
        placement: Ray's placement strategy for the trial's bundles.
        accelerator: type of the GPUs, as Ray labels their nodes: `H100`, `!T4`, `in(A100,H100)`. A trial
            without GPUs does not ask for it.
        node_labels: what the labels of the nodes that a trial is on must be: label -> `x`, `!x`, `in(x,y)`
            or `!in(x,y)`.
        env_runner_node_labels: the same for its env runners, in place of `node_labels`, as for nodes without
            GPUs.
        custom_resources: Ray's, by name, of the trial's main process.
        max_concurrent: trials at a time; `auto` fills the machine, as nodes come and go.
        wait_for_nodes: seconds to wait at the start, where no node of a cluster can hold a trial, until one
            can; None refuses. A cluster that grows is asked for a node more than it has.
    """

    env_runners: Annotated[int, Field(ge=0, le=100_000)] | Literal["auto"] = "auto"
    envs_per_env_runner: Annotated[int, Field(gt=0, le=100_000)] = 16
    cpus_per_env_runner: Amount = 1
    cpus_for_main_process: Annotated[int, Field(gt=0, le=10_000)] | Literal["auto"] = "auto"
    learners: Annotated[int, Field(ge=0, le=10_000)] = 0
    gpus_per_learner: GpuAmount | Literal["auto", "probe"] = "auto"
    gpus: Literal["require", "auto"] = "require"
    placement: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] = "PACK"
    accelerator: LabelCondition | None = None
    node_labels: dict[LabelName, LabelCondition] = Field(default_factory=dict)
    env_runner_node_labels: dict[LabelName, LabelCondition] | None = None
    custom_resources: dict[CustomResource, Amount] = Field(default_factory=dict)
    max_concurrent: PositiveInt | Literal["auto"] = "auto"
    wait_for_nodes: Seconds | None = None
