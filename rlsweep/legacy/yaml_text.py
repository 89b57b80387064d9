"""YAML text: values on one line, remarks as comment lines."""

from __future__ import annotations

import math
import re
import textwrap
from typing import Any

import yaml

LINE_LENGTH = 110


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, width=math.inf, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")


def remark(text: str, indent: str = "") -> list[str]:
    """Comment lines."""
    wrapper = textwrap.TextWrapper(LINE_LENGTH, f"{indent}# ", f"{indent}#   ")
    wrapper.break_long_words = wrapper.break_on_hyphens = False
    return wrapper.wrap(text)


class _Dumper(yaml.SafeDumper):
    """Every value on one line, and quoted where a reader of YAML 1.1 or 1.2 would take text for a number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _text_node)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+.0-9][-+.0-9_eE]*$"), None)
