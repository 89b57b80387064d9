"""docker/compose.yaml and the image's variables, as Docker reads them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

DOCKER = Path(__file__).parents[1] / "docker"
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
NONE: Mapping[str, str] = MappingProxyType({})


def compose_file(variables: Mapping[str, str] = NONE) -> dict[str, Any]:
    """The whole file; a variable that is not given has its default."""
    found: dict[str, Any] = _filled(yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8")), variables)
    return found


def image_environment() -> dict[str, str]:
    """What the Dockerfile says by `ENV` for the image that runs; PATH aside, which is the machine's here."""
    last = (DOCKER / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]
    instructions = re.findall(r"^ENV ((?:.*\\\n)*.*)$", last, re.MULTILINE)
    words = [word for one in instructions for word in shlex.split(one.replace("\\\n", " "))]
    return {name: value for name, _, value in (word.partition("=") for word in words) if name != "PATH"}


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, variables) for one in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: variables.get(found[1]) or found[2], value)
    return value
