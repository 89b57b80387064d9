"""Warns of what goes wrong in a trial, once for each symptom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from ray.tune import Callback

from callbacks.driver.history import history_row
from callbacks.driver.symptoms import RULES
from rlsweep.store.symptoms import Symptom

REMEMBERED_ROWS = 2000

Tell = Callable[[str, Symptom], None]


class Diagnose(Callback):
    """Looks at the rows of every trial with the rules of `callbacks.driver.symptoms`.

    Args:
        listeners: each is called once for each symptom of a trial, with the trial's id.
    """

    def __init__(self, listeners: Sequence[Tell]) -> None:
        self._listeners = list(listeners)
        self._rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._told: set[tuple[str, str]] = set()

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        trial_id = str(trial)
        rows = self._rows[trial_id]
        rows.append(history_row(result))
        if len(rows) > REMEMBERED_ROWS:  # of the older half, every second one
            del rows[1 : REMEMBERED_ROWS // 2 : 2]
        for rule in RULES:
            seen = (trial_id, rule.__name__)
            symptom = None if seen in self._told else rule(rows)
            if symptom is not None:
                self._told.add(seen)
                for tell in self._listeners:
                    tell(trial_id, symptom)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._rows.pop(str(trial), None)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._rows.pop(str(trial), None)
