"""`diagnosis.json` of a trial: what the rules saw going wrong in it, each symptom once; a JSON row each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rlsweep.store.append import read_lines
from rlsweep.store.layout import RunLayout


@dataclass(frozen=True)
class Symptom:
    """What goes wrong in a trial.

    Attributes:
        name: of the symptom, a word for tags.
        cause: what was seen, with the figures.
        remedy: what to try.
    """

    name: str
    cause: str
    remedy: str

    def line(self) -> str:
        """It as a line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def read_symptoms(folder: Path) -> list[Symptom]:
    """The symptoms of a trial, oldest first; a line that is cut off is left out."""
    return read_lines(folder / RunLayout.DIAGNOSIS_JSON, lambda fields: Symptom(**fields))
