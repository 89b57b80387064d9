"""How the trials of a sweep stand, kept in its manifest while it runs."""

from __future__ import annotations

import logging
import signal
import time
from typing import Any

from ray.tune import Callback

from rlsweep.errors import RunError, SweepInterruptedError
from rlsweep.run.going_on import thin
from rlsweep.run.stopping import Halt
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import ENDED, INTERRUPTED, PENDING, RUNNING, STOPPED, Manifest, TrialRecord
from rlsweep.store.remote_checkpoints import refresh_checkpoints

logger = logging.getLogger(__name__)

SHARE_OF_TIME = 0.05
MOST_SECONDS = 30.0
"""Which share of the driver's time the manifest may take, which is written whole, and how long a change of it
waits for that at most. Of a driver that dies meanwhile the trials go on from their checkpoints, as always."""


class Standing(Callback):
    """Writes into the manifest how trials stand, and thins their checkpoints: when one is made, and when they
    have ended.

    Args:
        manifest, layout: of the run.
        halt: knows whether trials are cut off.
        keep: how many of the best checkpoints stay.
        is_listed: the plan names all trials beforehand; else the manifest alone knows them.
    """

    def __init__(
        self, manifest: Manifest, layout: RunLayout, halt: Halt, keep: int, *, is_listed: bool
    ) -> None:
        self._manifest, self._layout, self._halt, self._keep = manifest, layout, halt, keep
        self._is_listed = is_listed
        self._compared = manifest.objectives[0].on_the_way
        self._records: dict[str, TrialRecord] = {}
        self._is_changed = False
        self._next_write = 0.0

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        if self._is_changed and time.monotonic() >= self._next_write:
            self.write()

    def on_trial_save(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._thin(str(trial), self._keep)

    def note(self, trial_id: str, status: str) -> None:
        """A trial's status has changed."""
        is_cut_off = status == STOPPED and self._halt.is_halting and trial_id not in self._halt.stopped
        self._record(trial_id).status = INTERRUPTED if is_cut_off else status
        self.note_change(at_once=status == RUNNING and not self._is_listed)
        if status in ENDED and not is_cut_off:
            self._thin(trial_id, self._keep)

    def _record(self, trial_id: str) -> TrialRecord:
        if trial_id not in self._records:  # a search that learns adds trials
            self._records = {record.id: record for record in self._manifest.trials}
        return self._records[trial_id]

    def note_change(self, *, at_once: bool = False) -> None:
        """The manifest has changed: it is written now, or as soon as it is due.

        Args:
            at_once: whether or not it is due. Of a trial that a search has proposed, and that has begun,
                nothing but the manifest knows.
        """
        self._is_changed = True
        if at_once or time.monotonic() >= self._next_write:
            self.write()

    def write(self) -> None:
        """Write the manifest, if it has changed."""
        if not self._is_changed:
            return
        started = time.monotonic()
        try:
            self._manifest.write(self._layout)
            self._is_changed = False
        except OSError as error:  # a full disk; it is tried again
            logger.warning("%s cannot be written now: %s", self._layout.manifest, error)
        seconds = time.monotonic() - started
        self._next_write = started + min(MOST_SECONDS, seconds / SHARE_OF_TIME)

    def thin_ended(self) -> None:
        """Leave the best checkpoint and the last one of every trial that has ended."""
        for record in self._manifest.trials:
            if record.status in ENDED:
                self._thin(record.id, keep=1)

    def _thin(self, trial_id: str, keep: int) -> None:
        try:
            refresh_checkpoints(self._layout, trial_id)
            thin(self._layout, trial_id, self._compared, keep)
        except (RunError, OSError) as error:  # what is too much now is so at the next time too
            logger.warning("checkpoints of %s are not thinned: %s", trial_id, error)

    def close(self, given: set[str], how: str) -> int:
        """See that the trials which Tune was given have ended: it returns as if all were done.

        Args:
            given: their ids.
            how: the sweep ended if they have not.

        Returns:
            How many have not, because a limit of the spec is reached.

        Raises:
            SweepInterruptedError: some have not, and no limit of the spec is reached.
            RunError: some have not, because Ray has died.
        """
        unended = [
            record
            for record in self._manifest.trials
            if record.id in given and record.status in (PENDING, RUNNING, INTERRUPTED)
        ]
        for record in unended:
            record.status = PENDING if record.status == PENDING else INTERRUPTED
        self._manifest.write(self._layout)
        self._is_changed = False
        if not unended or self._halt.reason:
            return len(unended)
        rest = f"with {len(unended)} trials to go; the same command goes on from their checkpoints"
        if self._halt.has_lost_ray:
            raise RunError(f"Ray has died {rest}")
        raise SweepInterruptedError(f"{how} {rest}", self._halt.signal or signal.SIGINT)
