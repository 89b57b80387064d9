"""Labels of nodes, and the selectors of bundles (Ray's "label selectors", `label_selector.h`)."""

from __future__ import annotations

import re
from collections.abc import Mapping

Labels = Mapping[str, str]
"""Of a node: `{"ray.io/accelerator-type": "H100", "zone": "eu-1a"}`."""

LabelSelector = Mapping[str, str]
"""Of a bundle: label -> `x`, `!x`, `in(x,y)` or `!in(x,y)`. All of them must hold."""

Condition = tuple[str, str]


def matches(conditions: tuple[Condition, ...], labels: Labels) -> bool:
    """Whether a node's labels fulfil all conditions."""
    return all(_holds(condition, labels.get(label)) for label, condition in conditions)


def in_words(selector: LabelSelector) -> str:
    """`, where zone is x` for each condition."""
    return "".join(f", where {label} is {condition}" for label, condition in selector.items())


def _holds(condition: str, value: str | None) -> bool:
    """A label that a node has not is none of the values: `!x` holds there."""
    wanted = condition.removeprefix("!")
    values = re.split(r", ?", wanted[3:-1]) if wanted.startswith("in(") else [wanted]
    return (value in values) != condition.startswith("!")
