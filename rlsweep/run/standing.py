"""How the trials of a sweep stand, kept in its manifest while it runs."""

from __future__ import annotations

import logging
import signal

from rlsweep.errors import RunError, SweepInterruptedError
from rlsweep.run.going_on import thin
from rlsweep.run.stopping import Halt
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import ENDED, INTERRUPTED, PENDING, RUNNING, STOPPED, Manifest
from rlsweep.store.remote_checkpoints import refresh_checkpoints

logger = logging.getLogger(__name__)


class Standing:
    """Writes into the manifest how trials stand, and thins the checkpoints of those that have ended.

    Args:
        manifest, layout: of the run.
        halt: knows whether trials are cut off.
        keep: how many of the best checkpoints stay.
    """

    def __init__(self, manifest: Manifest, layout: RunLayout, halt: Halt, keep: int) -> None:
        self._manifest, self._layout, self._halt, self._keep = manifest, layout, halt, keep
        self._compared = manifest.objectives[0].on_the_way

    def note(self, trial_id: str, status: str) -> None:
        """A trial's status has changed."""
        is_cut_off = status == STOPPED and self._halt.is_halting and trial_id not in self._halt.stopped
        self._manifest.trial(trial_id).status = INTERRUPTED if is_cut_off else status
        try:
            self._manifest.write(self._layout)
        except OSError as error:  # a full disk; it is written whole with the next change
            logger.warning("%s cannot be written now: %s", self._layout.manifest, error)
        if status in ENDED and not is_cut_off:
            self._thin(trial_id, self._keep)

    def thin_ended(self) -> None:
        """Leave the best checkpoint and the last one of every trial that has ended."""
        for record in self._manifest.trials:
            if record.status in ENDED:
                self._thin(record.id, keep=1)

    def _thin(self, trial_id: str, keep: int) -> None:
        try:
            refresh_checkpoints(self._layout, trial_id)
            thin(self._layout, trial_id, self._compared, keep)
        except RunError as error:  # what is too much now is so with the next start too
            logger.warning("checkpoints of %s are not thinned: %s", trial_id, error)

    def close(self, given: set[str], how: str) -> None:
        """See that the trials which Tune was given have ended: it returns as if all were done.

        Args:
            given: their ids.
            how: the sweep ended if they have not.

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
        if not unended or self._halt.reason:
            return
        rest = f"with {len(unended)} trials to go; the same command goes on from their checkpoints"
        if self._halt.has_lost_ray:
            raise RunError(f"Ray has died {rest}")
        raise SweepInterruptedError(f"{how} {rest}", self._halt.signal or signal.SIGINT)
