"""A Trainable whose process dies once, in the moment in which Tune hands it over to another trial."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from rlsweep.run.trial import Trial


class Dying(Trial):
    """Tune tells it nothing of why.

    Attributes:
        once: of a file that it makes when it dies.
    """

    once: str

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if not Path(self.once).exists():
            Path(self.once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().reset_config(new_config)
