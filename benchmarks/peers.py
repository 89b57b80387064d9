"""What the peers' environment needs, one requirement a line: the extra `[bench]` of pyproject.toml, alone.

`pip install '.[bench]'` would bring Ray and MLflow along, which the peers do not use.
"""

from __future__ import annotations

import tomllib

from benchmarks import ROOT

PYPROJECT = ROOT / "pyproject.toml"


def requirements(pyproject: str) -> list[str]:
    """The extra `[bench]` in the text of a pyproject.toml."""
    return [str(line) for line in tomllib.loads(pyproject)["project"]["optional-dependencies"]["bench"]]


if __name__ == "__main__":
    print("\n".join(requirements(PYPROJECT.read_text("utf-8"))))
