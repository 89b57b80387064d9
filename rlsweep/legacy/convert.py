"""`convert`: an old file -> specs, key by key in the order in which they depend on each other."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from rlsweep.errors import Issue, SpecError, nearest
from rlsweep.legacy import keys, values
from rlsweep.legacy.dqn import convert_dqn
from rlsweep.legacy.draft import Draft
from rlsweep.legacy.environment import convert_environment
from rlsweep.legacy.experiment import Experiment
from rlsweep.legacy.iterations import convert_iterations
from rlsweep.legacy.learners import convert_batches, convert_learners
from rlsweep.legacy.network import convert_network
from rlsweep.legacy.yaml_text import flow
from rlsweep.spec.hyperparameters import hyperparameters
from rlsweep.spec.network import CnnSpec, MlpSpec, NatureCnnSpec
from rlsweep.spec.source import Document, parse_file

__all__ = ["ConvertedSpec", "convert", "convert_file", "head_comment"]

NETWORKS: dict[str, type[BaseModel]] = {"nature_cnn": NatureCnnSpec, "cnn": CnnSpec, "mlp": MlpSpec}

ENV_STEPS = "10M"
"""Where the old spec has no limit of env steps: 40M frames, as our own Atari specs."""

OLD_FORM = "my-experiment: {run: PPO, env: …, config: {…}}"


@dataclass(frozen=True)
class ConvertedSpec:
    """A new spec.

    Attributes:
        name: of the sweep; safe as a file name, unique among the specs of one old file.
        text: the YAML file.
    """

    name: str
    text: str


def convert_file(path: Path) -> list[ConvertedSpec]:
    """As `convert`, from a file; the comments at its head are kept."""
    document = parse_file(path)
    return convert(document, head_comment(path.read_text("utf-8")))


def head_comment(text: str) -> str:
    """The comment lines that a YAML file begins with."""
    lines = itertools.dropwhile(lambda line: not line, map(str.strip, text.splitlines()))
    return "\n".join(itertools.takewhile(lambda line: line.startswith("#"), lines))


def convert(document: Document, head: str = "") -> list[ConvertedSpec]:
    """Turn every experiment of an old file into a spec of its own.

    Args:
        document: the old file.
        head: comment lines, each beginning with `#`, for the head of every new spec.

    Raises:
        SpecError: what cannot be converted, or what a new spec does not take, at its place in the old file.
    """
    if "version" in document.data:
        where = document.location(("version",))
        raise SpecError([Issue(where, "this is no old file but a spec already", OLD_FORM)])
    specs: list[ConvertedSpec] = []
    issues: list[Issue] = []
    for written in document.data:
        name = _safe_name(written, [spec.name for spec in specs])
        try:
            specs.append(ConvertedSpec(name, _convert(Experiment(document, written), name, head)))
        except SpecError as error:
            issues += error.issues
        except RecursionError:
            issues.append(Issue(document.location((written,)), f"{written}: nested too deeply"))
    if not document.data:
        issues.append(Issue(document.location(()), "no experiment", OLD_FORM))
    if issues:
        raise SpecError(sorted(issues, key=lambda issue: (issue.location.line, issue.location.column)))
    return specs


def _convert(old: Experiment, name: str, head: str) -> str:
    new = Draft(old)
    new.write("version", 1)
    new.write("name", name, "" if name == old.name else f"was {flow(old.name)}")
    algorithm = _algorithm(old, new)
    is_atari = convert_environment(old, new)
    _refuse(old, new)
    if not algorithm or "env.id" not in new:
        raise SpecError(new.issues)  # all else depends on these two
    learners = convert_learners(old, new)
    convert_iterations(old, new, algorithm)
    if algorithm == "dqn":
        convert_dqn(old, new, is_atari)
    convert_batches(old, new, algorithm, learners)
    convert_network(old, new, is_atari)
    _seeds(old, new)
    new.write("objective", {"metric": "score", "goal": "maximize"})
    _rest(old, new, algorithm, is_atari)
    if "stop.env_steps" not in new:
        new.write("stop.env_steps", ENV_STEPS, "the old spec has no limit of env steps")
    new.check()
    return new.text(head)


def _safe_name(written: str, taken: Collection[str]) -> str:
    """A name that specs and file systems take, and that no spec before has."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", written).strip("_.-")[:90] or "converted"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(candidate for candidate in names if candidate not in taken)


def _algorithm(old: Experiment, new: Draft) -> str:
    run = old.take("run")
    algorithm = keys.ALGORITHMS.get(str(run.plain).upper(), "")
    if not algorithm:
        message = f"run: no {run.plain!r}" if run.is_written else f"{old.name}: run is missing"
        near = nearest(str(run.plain), keys.ALGORITHMS)
        new.issues.append(Issue(run.where, message, ", ".join(keys.ALGORITHMS), near))
    new.write("algorithm", algorithm, f"was run: {run.plain}", run.where)
    return algorithm


def _refuse(old: Experiment, new: Draft) -> None:
    new.issues += old.issues
    for name, what in keys.REFUSED.items():
        key = old.look(name)
        if any(key.values):
            new.issues.append(Issue(key.where, f"{name}: a policy with {what} cannot be converted", "off"))


def _seeds(old: Experiment, new: Draft) -> None:
    seed = old.take("seed")
    if seed.is_written:
        new.write("seeds", list(seed.values), "was seed", seed.where)
    new.rename("seeds", old.take(*keys.NAMES["seeds"]))


def _rest(old: Experiment, new: Draft, algorithm: str, is_atari: bool) -> None:
    """The keys that need no other one to be converted; a schedule goes before its constant value."""
    for key in sorted(old.take_all(), key=lambda key: not key.name.endswith("_schedule")):
        path = keys.RENAMED.get(key.name, f"training.{key.name}")
        if key.name not in keys.RENAMED and key.name not in hyperparameters(algorithm):
            new.drop(key, keys.reason_without_place(key.name))
        elif obstacle := _obstacle(path, algorithm, is_atari, new.data["network"]["name"]):
            new.drop(key, obstacle)
        else:
            new.put(path, values.CHANGES.get(path, values.same), key)
    for key in old.unset:
        new.drop(key, "the default stays")


def _obstacle(path: str, algorithm: str, is_atari: bool, network: str) -> str:
    """Why a spec of this kind does not take a key; empty where it does."""
    section, _, rest = path.partition(".")
    name = rest.partition(".")[0]
    if section == "training" and name not in hyperparameters(algorithm):
        return f"{algorithm} has no {name}"
    if section == "env" and not is_atari:
        return "only an ALE game has this"
    if section == "network" and name not in NETWORKS[network].model_fields:
        return f"the network {network} has no {name}"
    return ""
