from __future__ import annotations

import pytest

from rlsweep.errors import SpecError
from rlsweep.spec.source import parse_text


def test_numbers_are_read_as_yaml_1_2_reads_them() -> None:
    text = (
        "{a: 1e-4, b: 2.5e-4, c: 10, d: .5, e: 1_000, f: v1e, g: '1e-4', h: 1.2.3,"
        " i: yes, j: 1:30, k: true, l: ~}"
    )
    data = parse_text(text, "t").data
    assert data == {
        "i": "yes",
        "j": "1:30",
        "k": True,
        "l": None,
        "a": 1e-4,
        "b": 2.5e-4,
        "c": 10,
        "d": 0.5,
        "e": 1000,
        "f": "v1e",
        "g": "1e-4",
        "h": "1.2.3",
    }


def test_every_key_and_item_knows_its_place() -> None:
    document = parse_text("a: 1\nb:\n  c: [x, y]\n", "t.yaml")
    assert str(document.location(("b", "c"))) == "t.yaml:3:3"
    assert str(document.location(("b", "c", 1))) == "t.yaml:3:10"
    assert str(document.location(("b", "nowhere"))) == "t.yaml:2:1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "t.yaml:3:1: the key 'a' stands here twice, first in line 1"),
        ("a: !!python/object/apply:os.system [ls]\n", "is not allowed"),
        ("a: [1, 2\nb: 3\n", "t.yaml:2:"),
        ("- 1\n- 2\n", "a spec is a mapping"),
        ("", "a spec is a mapping"),
        ("a: &x [*x]\n", "not YAML"),
        ("a: \x00\n", "not YAML"),
        ("a: !!timestamp x\n", "is not allowed"),
        ("a: !!bool q\n", "not YAML"),
        ("a: !!int q\n", "not YAML"),
        ("[1]: 2\n", "a key must be a plain word"),
    ],
)
def test_what_is_no_spec_is_refused_in_one_line_each(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_text(text, "t.yaml")
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == len(caught.value.issues)


def test_an_alias_bomb_is_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(SpecError, match="too many"):
        parse_text("\n".join(lines), "bomb.yaml")
