"""docs/commands.md against the commands, the Makefile, the environment variables and the exit codes."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import chain
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
import typer.main

from rlsweep import errors
from rlsweep.cli import app
from rlsweep.errors import RlsweepError, SweepInterruptedError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "commands.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]}
GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = GROUP.commands
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
SECTIONS_OF_NO_COMMAND = {"Common options", "Environment", "Exit codes"}


def flags_of(command: str) -> set[str]:
    options = (one for one in COMMANDS[command].params if one.param_type_name == "option")
    return {flag for one in options for flag in (*one.opts, *one.secondary_opts)}


def test_every_command_has_a_section_and_no_other() -> None:
    assert set(SECTIONS) - SECTIONS_OF_NO_COMMAND == set(COMMANDS)
    for command in COMMANDS:
        assert f"| [`{command}`](#{command}) |" in PAGE


@pytest.mark.parametrize("command", COMMANDS)
def test_a_section_names_the_flags_of_its_command_and_no_other(command: str) -> None:
    named = set(FLAG.findall(SECTIONS[command]))
    assert named == flags_of(command)


def test_the_page_names_no_flag_that_does_not_exist() -> None:
    known = set(chain.from_iterable(map(flags_of, COMMANDS))) | {"--help"}
    assert set(FLAG.findall(PAGE)) == known


@pytest.mark.parametrize("command", COMMANDS)
def test_a_default_that_is_a_number_or_a_word_stands_beside_its_flag(command: str) -> None:
    for option in COMMANDS[command].params:
        is_flag = isinstance(option.default, bool)
        if isinstance(option.default, (int, float, str)) and not is_flag and option.default != "":
            row = rf"^\| `{option.opts[0]} .*\| {re.escape(str(option.default))} \|$"
            assert re.search(row, SECTIONS[command], re.MULTILINE), option.opts


def test_makes_targets_are_short_for_these_commands() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = dict(re.findall(r"^(\w+):.*\n\t\$\(RLSWEEP\) (\w+)", makefile, re.MULTILINE))
    shown = re.findall(r"^\| \[`\w+`\]\(#(\w+)\) \|.*\| `make (\w+)[^|]*\|$", PAGE, re.MULTILINE)
    assert {target: command for command, target in shown} == targets


def test_every_environment_variable_that_is_read_by_its_name_is_there() -> None:
    read = set()
    for path in chain(*((ROOT / room).rglob("*.py") for room in ("rlsweep", "callbacks", "analysis"))):
        text = path.read_text("utf-8")
        constants = dict(re.findall(r'^(\w+) = ("\w+")$', text, re.MULTILINE))
        found = re.findall(r'(?:environ\.get\(|envvar=|environ\[(?!"?\w+"?\] = ))("?\w+"?)', text)
        names = (constants.get(name, name) for name in found)
        read |= {name.strip('"') for name in names if name[0] == '"'}
    assert {"RLSWEEP_STORAGE", "RAY_ADDRESS", "MLFLOW_TRACKING_URI"} <= read
    cells = re.findall(r"^\| (`[^|]*) \|", SECTIONS["Environment"], re.MULTILINE)
    assert read <= set(re.findall(r"`(\w+)`", " ".join(cells)))


def test_exit_codes_are_those_of_the_errors() -> None:
    of_errors = defaultdict(set)
    for name in errors.__all__:
        found = getattr(errors, name)
        if isinstance(found, type) and issubclass(found, RlsweepError):
            of_errors[found.exit_code].add(name)
    terminated = SweepInterruptedError("told to stop", SIGTERM)
    of_errors[terminated.exit_code].add(type(terminated).__name__)
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]*) \|$", SECTIONS["Exit codes"], re.MULTILINE)
    shown = {int(code): set(re.findall(r"`(\w+)`", names)) for code, names in rows}
    assert shown == {0: set(), **of_errors}
