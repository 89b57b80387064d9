"""Rules between the sections of a spec: methods, schedulers, objectives and seeds that do not go together."""

from __future__ import annotations

from collections.abc import Iterator

from rlsweep.errors import nearest
from rlsweep.spec.check_callbacks import callback_faults
from rlsweep.spec.check_curriculum import curriculum_faults
from rlsweep.spec.check_training import Fault
from rlsweep.spec.human_scores import human_scores
from rlsweep.spec.resources import ResourceSpec
from rlsweep.spec.scheduling import AshaSpec, FifoSpec, HyperbandSpec, MedianSpec, Pb2Spec, PbtSpec
from rlsweep.spec.search import MAX_TRIALS, SINGLE_OBJECTIVE_METHODS
from rlsweep.spec.sweep import ASYNCHRONOUS, Sweep
from rlsweep.store.rows import CUSTOM_PREFIX, HUMAN_NORMALIZED, METRIC_ALIASES, SCORE, row_keys

MIN_CMAES_RANGES = 2

Found = tuple[str, Fault]
"""Dotted path of the key at fault, and the fault."""


def broken_rules(sweep: Sweep) -> list[Found]:
    """Every rule that a sweep breaks."""
    swept = sweep.search.parameters
    return [
        *callback_faults(sweep),
        *_objective_rules(sweep),
        *_search_rules(sweep),
        *_scheduler_rules(sweep),
        *_game_rules(sweep),
        *(found for found in trial_rules(sweep) if found[0] not in swept),
    ]


def trial_rules(sweep: Sweep) -> list[Found]:
    """The rules that also a single configuration of a sweep can break."""
    found: list[Found] = [*curriculum_faults(sweep)]
    if sweep.algorithm == "dqn" and sweep.env.stacks_by_connector:
        message = "RLlib's frame-stacking connector leaves DQN's next observations unstacked"
        found.append(("env.frame_stack_by", Fault(message, "frame_stack_by: env")))
    if sweep.resources.gpus_per_learner == "probe" and sweep.resources.learners:
        message = "resources.gpus_per_learner: probe measures a trial that learns in its own process"
        found.append(("resources.gpus_per_learner", Fault(message, "learners: 0, or a number")))
    if _learners_share_a_gpu(sweep.resources):
        message = "resources.gpus_per_learner: NCCL does not let two learners of a trial share a GPU"
        allowed = "a whole number, learners: 0 or 1, or placement: STRICT_SPREAD"
        found.append(("resources.gpus_per_learner", Fault(message, allowed)))
    if sweep.deterministic and sweep.algorithm in ASYNCHRONOUS:
        message = f"deterministic: {sweep.algorithm} learns from whatever samples have arrived"
        found.append(("deterministic", Fault(message, "deterministic: false, or algorithm: ppo or dqn")))
    if sweep.exploration.softmax_temperature is not None and sweep.algorithm != "dqn":
        message = f"exploration.softmax_temperature: {sweep.algorithm} samples its policy, it has no Q values"
        found.append(("exploration.softmax_temperature", Fault(message, "algorithm: dqn")))
    if sweep.checkpoints.replay_buffer and sweep.algorithm != "dqn":
        message = f"checkpoints.replay_buffer: {sweep.algorithm} has none"
        found.append(("checkpoints.replay_buffer", Fault(message, "algorithm: dqn")))
    if any(objective.metric == HUMAN_NORMALIZED for objective in sweep.objective):
        games = human_scores()
        if sweep.env.id not in games:
            message = f"objective: human_normalized: no human score is known of {sweep.env.id}"
            found.append(
                ("env.id", Fault(message, "the 57 games of Wang et al. 2016", nearest(sweep.env.id, games)))
            )
    return found


def _learners_share_a_gpu(spec: ResourceSpec) -> bool:
    """Whether they may come to do so: only STRICT_SPREAD keeps them apart."""
    gpus = spec.gpus_per_learner
    is_part = isinstance(gpus, float) and 0 < gpus < 1
    return is_part and spec.learners > 1 and spec.placement != "STRICT_SPREAD"


def _objective_rules(sweep: Sweep) -> Iterator[Found]:
    metrics = [*METRIC_ALIASES, *row_keys(sweep.algorithm)]
    is_list = isinstance(sweep.as_written()["objective"], list)
    for index, objective in enumerate(sweep.objective):
        name = objective.metric
        where = f"objective.{index}.metric" if is_list else "objective.metric"
        is_custom = name is not None and name.startswith(CUSTOM_PREFIX) and bool(sweep.callbacks)
        if name is not None and name not in metrics and not is_custom:
            yield (
                where,
                Fault(
                    f"objective.metric: no row has a key {name!r}", ", ".join(metrics), nearest(name, metrics)
                ),
            )
        if (
            name is not None
            and METRIC_ALIASES.get(name, name).startswith("evaluation/")
            and not sweep.evaluation
        ):
            yield where, Fault(f"objective.metric: {name!r} needs a section evaluation: {{every: …}}")
    if len({objective.model_dump_json() for objective in sweep.objective}) < len(sweep.objective):
        yield "objective", Fault("objective: the same objective stands twice")


def _search_rules(sweep: Sweep) -> Iterator[Found]:
    method = sweep.search.method
    if len(sweep.objective) > 1 and method in SINGLE_OBJECTIVE_METHODS:
        message = f"search.method: {method} takes one objective, this spec has {len(sweep.objective)}"
        yield "search.method", Fault(message, "nsga2, tpe, gp, random, sobol, grid")
    ranges = [range_ for range_ in sweep.search.parameters.values() if range_.is_range]
    if method == "cmaes" and len(ranges) < MIN_CMAES_RANGES:
        message = f"search.method: cmaes moves {MIN_CMAES_RANGES} ranges or more, here are {len(ranges)}"
        yield "search.method", Fault(message, "tpe, gp, random, sobol")
    trials = (sweep.search.trials or 1) * len(sweep.seeds)
    if trials > MAX_TRIALS:
        yield "search.trials", Fault(f"search.trials x seeds: {trials:,} trials", f"at most {MAX_TRIALS:,}")


def _game_rules(sweep: Sweep) -> Iterator[Found]:
    """A configuration that plays several games is worth what it is worth in all of them."""
    if not sweep.games:
        return
    count = f"env.id: {len(sweep.games)} games"
    if any(objective.key not in (SCORE, HUMAN_NORMALIZED) for objective in sweep.objective):
        message = f"objective: {count} are compared on the human's scale"
        yield "objective", Fault(message, f"metric: {HUMAN_NORMALIZED}, or {SCORE}, which becomes that")
    if sweep.search.method != "grid":
        message = f"search.method: {count}; {sweep.search.method} would look for the easiest"
        yield "search.method", Fault(message, "grid")
    if not isinstance(sweep.scheduler, FifoSpec):
        message = f"scheduler.type: {count}; {sweep.scheduler.type} would stop the harder ones"
        yield "scheduler.type", Fault(message, "fifo")


def _scheduler_rules(sweep: Sweep) -> Iterator[Found]:
    scheduler = sweep.scheduler
    if isinstance(scheduler, FifoSpec):
        return
    name, least = (
        ("every", scheduler.every)
        if isinstance(scheduler, (PbtSpec, Pb2Spec))
        else ("grace", scheduler.grace)
    )
    if least >= sweep.stop.env_steps:
        message = f"scheduler.{name}: {least:,} env steps, but a trial stops after {sweep.stop.env_steps:,}"
        yield f"scheduler.{name}", Fault(message, "fewer env steps than stop.env_steps")
    if isinstance(scheduler, (AshaSpec, MedianSpec)):
        return
    if not sweep.search.is_listed:
        reason = (
            "compares whole brackets of trials that start together"
            if isinstance(scheduler, HyperbandSpec)
            else "chooses new values itself while the trials run"
        )
        message = f"scheduler.type: {scheduler.type} {reason}; it does not go with {sweep.search.method}"
        yield "scheduler.type", Fault(message, "search.method: random, sobol or grid")
    if isinstance(scheduler, (PbtSpec, Pb2Spec)):
        yield from _population_rules(sweep, scheduler.type)


def _population_rules(sweep: Sweep, name: str) -> Iterator[Found]:
    if len(sweep.seeds) > 1:
        message = f"seeds: a {name} population is one experiment; run it again with another search.seed"
        yield "seeds", Fault(message, "seeds: 1")
    if sweep.confirm is not None:
        message = (
            f"confirm: the values of a {name} member change while it trains, none can be run again as it is"
        )
        yield "confirm", Fault(message, "no confirm")
    if not sweep.search.parameters:
        yield "search", Fault(f"scheduler.type: {name} changes swept values, and nothing is swept")
    for path, range_ in sweep.search.parameters.items():
        where = f"search.parameters.{path}"
        if not path.startswith("training.") or range_.when or range_.zip:
            message = f"{path}: {name} copies weights between trials and changes values of training.… alone"
            yield where, Fault(message, "training.…, without `when` or `zip`")
        elif name == "pb2" and (range_.min is None or range_.max is None):
            yield where, Fault(f"{path}: pb2 needs a range", "`min` and `max`")
