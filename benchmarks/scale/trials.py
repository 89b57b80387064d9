"""Trials that train nothing: a row comes at once, with the keys of a real one, and checkpoints are small."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, ClassVar

from ray.tune import PlacementGroupFactory, Trainable
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from benchmarks.scale.curve import score
from rlsweep.plan import Plan
from rlsweep.store import rows
from rlsweep.store.checkpoint import PROGRESS, VALUES, write_manifest
from rlsweep.store.manifest import TRIAL

LR = "training.lr"
GAMES_PER_ROW = 8

SECONDS_TO_MEET = 600.0
"""How long a process waits for the others, before it is too late for them."""


class NoTraining(Trainable):
    """In place of `rlsweep.run.trial.Trial`, and carrying to Ray what that carries.

    Its processes import neither RLlib nor torch, so that many of them fit on one machine.
    """

    plan: ClassVar[Plan]
    row: ClassVar[dict[str, Any]]
    meeting: ClassVar[str]
    processes: ClassVar[int]

    _has_met: bool = False

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """As a real trial's, on the driver."""
        from rlsweep.run.trial import trainable_for

        request: PlacementGroupFactory = trainable_for(cls.plan).default_resource_request(config)
        return request

    def setup(self, config: dict[str, Any]) -> None:
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._trial: dict[str, Any] = config[TRIAL]
        self._rows = 0

    def step(self) -> dict[str, Any]:
        if not self._has_met:
            self._meet()
        self._rows += 1
        sweep, env_steps = self.plan.sweep, self._rows * self.row[rows.ENV_STEPS]
        own = {
            rows.SCORE: score(self._trial["id"], self._trial["values"].get(LR, 1e-3), self._rows),
            rows.SCORE_VALID: True,
            rows.GAMES: self._rows * GAMES_PER_ROW,
            rows.ENV_STEPS: env_steps,
            rows.FRAMES: env_steps,
            rows.SECONDS: float(self._rows),
            rows.ITERATION: self._rows,
        }
        self._last_row = self.row | own
        reached_stop = env_steps >= sweep.stop.env_steps
        return {
            **self._last_row,
            DONE: reached_stop,
            rows.REACHED_STOP: reached_stop,
            rows.HAS_DIVERGED: False,
            rows.LINEAGE: None,
            SHOULD_CHECKPOINT: env_steps % sweep.checkpoints.every < self.row[rows.ENV_STEPS],
        }

    def _meet(self) -> None:
        """Wait until as many processes are there as shall run at once.

        Else the first one would have the trials of all others: Tune hands it over within milliseconds, and
        gives up processes that take seconds to start.
        """
        (Path(self.meeting) / str(os.getpid())).touch()
        deadline = time.monotonic() + SECONDS_TO_MEET
        while len(list(Path(self.meeting).iterdir())) < self.processes:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.processes} processes were not there after {SECONDS_TO_MEET:.0f} s")
            time.sleep(0.1)
        self._has_met = True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        folder = Path(checkpoint_dir)
        progress = {"trial": self._trial["id"], VALUES: self._trial["values"], "rows": self._rows}
        (folder / PROGRESS).write_text(json.dumps(progress), "utf-8")
        write_manifest(folder, self._last_row)

    def load_checkpoint(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self._rows = json.loads((Path(checkpoint) / PROGRESS).read_text("utf-8"))["rows"]


def no_training_for(plan: Plan, meeting: Path, processes: int) -> type[NoTraining]:
    """What `launch` makes trials of.

    Args:
        plan: of the sweep.
        meeting: an empty folder, by which processes know of one another.
        processes: that shall run at once.
    """
    from rlsweep.run.progress import Progress
    from rlsweep.run.rows import result_row
    from rlsweep.run.trial import trainable_for

    env_steps = plan.sweep.training["train_batch_size_per_learner"]
    progress = Progress(env_steps=env_steps)
    row = result_row(plan.sweep, progress, {}, parallel_games=1, new_env_steps=env_steps, seconds=1.0)
    own = {"plan": trainable_for(plan).plan, "row": row, "meeting": str(meeting), "processes": processes}
    return type("NoTraining", (NoTraining,), own)
