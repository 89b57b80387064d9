"""What each kind of mistake says, word for word: tests/golden/bad_specs.txt."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from rlsweep.errors import SpecError
from rlsweep.spec import load

ROOT = Path(__file__).parents[2]
BAD = sorted((ROOT / "tests" / "data" / "bad").glob("*.yaml"))
GOLDEN = ROOT / "tests" / "golden" / "bad_specs.txt"


def arguments(path: Path) -> dict[str, object]:
    """The command line of a bad spec: its first line, `# --profile smoke --set a.b=c`, where it has one."""
    first = path.read_bytes().splitlines()[0].decode("utf-8", errors="replace")
    words = shlex.split(first[1:]) if first.startswith("# --") else []
    pairs = list(zip(words[::2], words[1::2], strict=True))
    profile = next((value for name, value in pairs if name == "--profile"), None)
    return {"profile": profile, "overrides": [value for name, value in pairs if name == "--set"]}


def said(path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(path.parent)
    with pytest.raises(SpecError) as caught:
        load(path.name, root=ROOT, **arguments(path))  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_every_mistake_says_what_the_golden_file_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """RLSWEEP_UPDATE_GOLDEN=1 writes the file anew; read the difference before committing it."""
    assert len(BAD) >= 25
    found = "\n\n".join(f"{path.name}\n{said(path, monkeypatch)}" for path in BAD) + "\n"
    if os.environ.get("RLSWEEP_UPDATE_GOLDEN"):
        GOLDEN.write_text(found, "utf-8")
    assert found == GOLDEN.read_text("utf-8")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_message_names_its_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in said(path, monkeypatch).splitlines():
        assert line.startswith((path.name, "--set", "parents/"))
