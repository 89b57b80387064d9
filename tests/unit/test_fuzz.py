"""Thousands of broken specs: whatever stands in a file, it is a sweep or a SpecError, never a traceback."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlsweep.errors import PreflightError, RlsweepError, SpecError
from rlsweep.plan import Machine, make
from rlsweep.spec import load

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "sweeps").rglob("*.yaml"))
MACHINE = Machine.of(cpus=16, gpus=2)

PROFILE = settings(
    max_examples=1500,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.sampled_from([10**400, -(10**400), 10**39, 1e300, 1e-300, 5e-324]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["auto", "10M", "40M frames", "8h", "-1", "1e999", "../x", "ppo", "ALE/Pong-v5", "a.b.c", "", "\0"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=8), inner, max_size=3),
        st.fixed_dictionaries({"linear": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"values": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"min": inner, "max": inner}),
    ),
    max_leaves=5,
)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return tmp_path / "spec.yaml"


def check(spec: Path, raw: bytes, **arguments: Any) -> None:
    """Load and plan; anything but an error of the spec or of the machine is a bug."""
    spec.write_bytes(raw)
    found: RlsweepError | None = None
    try:
        sweep = load(spec, root=ROOT, **arguments).sweep
        if (sweep.search.trials or 1) * len(sweep.seeds) < 1000:
            make(sweep, MACHINE)
    except (SpecError, PreflightError) as error:
        found = error
    assert found is None or found.exit_code == (2 if isinstance(found, SpecError) else 4)
    if isinstance(found, SpecError):
        assert found.issues
        assert all(issue.message for issue in found.issues)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key path of nested data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@PROFILE
@given(data=st.data())
def test_values_and_keys_replaced(spec: Path, data: st.DataObject) -> None:
    tree = yaml.safe_load(data.draw(st.sampled_from(SHIPPED)).read_text("utf-8"))
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(places(tree))
        if not found:
            break
        *parents, key = data.draw(st.sampled_from(found))
        place = tree
        for parent in parents:
            place = place[parent]
        match data.draw(st.sampled_from(["value", "key", "delete", "copy"])):
            case "value":
                place[key] = data.draw(VALUES)
            case "key" if isinstance(place, dict):
                place[data.draw(st.text(max_size=8) | st.sampled_from(["lr", "values", "when", "zip"]))] = (
                    place.pop(key)
                )
            case "delete":
                del place[key]
            case _:
                other = tree
                for step in data.draw(st.sampled_from(found)):
                    with contextlib.suppress(LookupError, TypeError):
                        other = other[step]
                place[key] = copy.deepcopy(other)
    check(spec, yaml.safe_dump(tree, allow_unicode=True).encode())


@PROFILE
@given(data=st.data())
def test_text_cut_and_pasted(spec: Path, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(SHIPPED)).read_text("utf-8")
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 40)))
        inserted = data.draw(
            st.text(max_size=4) | st.sampled_from(["\t", "- ", "{", "]", "*a", "&a", "!!x ", ": "])
        )
        text = text[:start] + inserted + text[end:]
    check(spec, text.encode("utf-8", errors="surrogatepass"))


@PROFILE
@given(raw=st.binary(max_size=300))
def test_binary_rubbish(spec: Path, raw: bytes) -> None:
    check(spec, raw)


@PROFILE
@given(
    key=st.sampled_from(["training.lr", "search", "stop.env_steps", "env", "seeds", "a.b", ""]),
    text=st.text(),
)
def test_overrides(spec: Path, key: str, text: str) -> None:
    raw = (ROOT / "sweeps" / "cartpole_ppo.yaml").read_bytes()
    check(spec, raw, overrides=[f"{key}={text}"], profile="smoke")
