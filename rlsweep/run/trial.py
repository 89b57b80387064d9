"""`Trial`: the Tune Trainable that holds one RLlib Algorithm.

Composition, not inheritance from Algorithm: Tune sees a small configuration and flat rows, RLlib sees
its AlgorithmConfig.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from ray.tune import PlacementGroupFactory, Trainable
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from rlsweep.plan import Plan
from rlsweep.rl.algorithms import build_config
from rlsweep.rl.cores import use_cores
from rlsweep.rl.phases import phase_of
from rlsweep.rl.replay_file import read_replay, write_replay
from rlsweep.rl.reuse import EnvRunners
from rlsweep.rl.takeover import ReusingAlgorithm
from rlsweep.run.curriculum import first_phase, next_phase
from rlsweep.run.custom_metrics import CustomMetrics
from rlsweep.run.disk import Room
from rlsweep.run.placement import group_factory
from rlsweep.run.policies import evaluate, save_policy
from rlsweep.run.progress import Progress, env_steps_after, evaluation_row, note_reached, update
from rlsweep.run.restoring import whole_checkpoint
from rlsweep.run.rows import result_row
from rlsweep.run.stopping import is_done
from rlsweep.store import rows
from rlsweep.store.checkpoint import (
    ALGORITHM,
    PROGRESS,
    REPLAY,
    VALUES,
    newest_whole,
    read_row,
    write_manifest,
)
from rlsweep.store.layout import RunLayout
from rlsweep.store.manifest import CHECKPOINT, TRIAL

CALLBACK_STATES = "callbacks"
"""Key of a checkpoint's progress: the spec's callbacks -> their states."""


SECONDS_BETWEEN_TRIES = 0.2
"""While a trial has no env runner that samples. Whether it ever comes back is seen by `run.stalls`."""


class Trial(Trainable):
    """One planned trial under Tune. `trainable_for` binds it to a plan.

    It is set up with the first call that needs it, when it runs for Tune: one that hangs or dies while Tune
    makes or hands over its process would not be seen.
    """

    plan: ClassVar[Plan]

    _asked_for: dict[str, Any] | None = None
    _has_algorithm: bool = False
    _row: dict[str, Any]
    _next_checkpoint: int
    _next_evaluation: int
    _lineage: dict[str, Any] | None
    _has_reached_stop: bool
    _custom_metrics: CustomMetrics

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """The placement group that RLlib asks for with its AlgorithmConfig, on nodes of its labels."""
        trial = cls.plan.trial(config[TRIAL]["values"], config[TRIAL]["seed"])
        algorithm_config = build_config(trial.sweep, trial.seed, trial.resources)
        asked = algorithm_config.algo_class.default_resource_request(algorithm_config)
        return group_factory(asked.bundles, asked.strategy, trial.resources.label_selectors)

    def setup(self, config: dict[str, Any]) -> None:
        self._asked_for = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial in the same process; Tune calls it where actors are reused."""
        self._asked_for = new_config
        return True

    def begin(self) -> None:
        """Become the trial that was asked for, with the env runners of the one before it in this process."""
        config, self._asked_for = self._asked_for, None
        if config is None:
            return
        env_runners = None
        if self._has_algorithm:
            env_runners = self._algorithm.release_env_runners()
            self.cleanup()
        self._start(config, env_runners)

    def step(self) -> dict[str, Any]:
        """One RLlib training iteration, and an evaluation when one is due.

        A trial that goes on from where it had reached its stop has no other to make.
        """
        self.begin()
        if self._has_reached_stop:
            return self._for_tune(reached_stop=True)
        before, started = self._progress.env_steps, time.perf_counter()
        result = self._train()
        seconds = time.perf_counter() - started
        sweep, progress = self._trial.sweep, self._progress
        update(progress, sweep, result, seconds, self._parallel_games)
        note_reached(progress, sweep.objective, self._parallel_games)
        progress.env_runner_restarts += self._algorithm.take_restarts()
        has_diverged = progress.nan_rows >= sweep.failures.nan_rows
        reached_stop = is_done(sweep, progress)
        if sweep.evaluation and (reached_stop or progress.env_steps >= self._next_evaluation):
            self._next_evaluation = progress.env_steps + sweep.evaluation.every
            self._evaluate()
        self._row = result_row(
            sweep,
            progress,
            result,
            parallel_games=self._parallel_games,
            new_env_steps=progress.env_steps - before,
            seconds=seconds,
        )
        self._row |= self._custom_metrics.row(result)
        self._follow_curriculum()
        due = progress.env_steps >= self._next_checkpoint and self._room.is_there()
        if due:
            self._next_checkpoint = progress.env_steps + sweep.checkpoints.every
        return self._for_tune(reached_stop=reached_stop, has_diverged=has_diverged) | {SHOULD_CHECKPOINT: due}

    def _for_tune(self, *, reached_stop: bool, has_diverged: bool = False) -> dict[str, Any]:
        """The row, and what the driver is told beside it."""
        lineage, self._lineage = self._lineage, None
        return {
            **self._row,
            DONE: reached_stop or has_diverged,
            rows.REACHED_STOP: reached_stop,
            rows.HAS_DIVERGED: has_diverged,
            rows.LINEAGE: lineage,
        }

    def _train(self) -> dict[str, Any]:
        """One RLlib iteration that has sampled something: none does while its env runners come back."""
        while True:
            result: dict[str, Any] = self._algorithm.train()
            if env_steps_after(result, self._progress) > self._progress.env_steps:
                return result
            time.sleep(SECONDS_BETWEEN_TRIES)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        self.begin()
        folder = Path(checkpoint_dir)
        self._algorithm.save_to_path(folder / ALGORITHM)
        self._save_policy(folder / RunLayout.POLICY)
        if self._trial.sweep.checkpoints.replay_buffer:
            write_replay(folder / REPLAY, self._algorithm.local_replay_buffer)
        progress = {
            "trial": self._trial.id,
            VALUES: self._trial.values,
            CALLBACK_STATES: self._custom_metrics.get_state(),
            **self._progress.to_json(),
        }
        (folder / PROGRESS).write_text(json.dumps(progress), "utf-8")
        write_manifest(folder, self._row)
        self._room.wait_for(folder)

    def load_checkpoint(self, checkpoint: str | None) -> None:
        """Go on from a checkpoint, its own or (PBT) another trial's, with this trial's hyperparameters.

        From the one before where it is damaged.

        Raises:
            RunError: none is whole.
        """
        self.begin()
        if checkpoint is None:
            return
        self._restore(newest_whole(Path(checkpoint)))

    def _restore(self, folder: Path) -> None:
        """Go on from a checkpoint that is whole."""
        self._algorithm.restore_from_path(str(folder / ALGORITHM))
        if (folder / REPLAY).exists():
            read_replay(folder / REPLAY, self._algorithm.local_replay_buffer)
        saved = json.loads((folder / PROGRESS).read_text("utf-8"))
        donor = saved.pop("trial")
        saved.pop(VALUES, None)
        self._custom_metrics.set_state(saved.pop(CALLBACK_STATES))
        self._progress = Progress.from_json(saved)
        self._row = read_row(folder)
        self._has_reached_stop = is_done(self._trial.sweep, self._progress)
        self._enter_phase()
        if donor != self._trial.id:
            values, env_steps = self._trial.values, self._progress.env_steps
            self._lineage = {"donor": donor, "donor_env_steps": env_steps, "values": values}
        self._plan_next_steps()

    def cleanup(self) -> None:
        if self._has_algorithm:
            self._has_algorithm = False
            self._algorithm.stop()

    def _start(self, config: dict[str, Any], env_runners: EnvRunners | None) -> None:
        planned = self.plan.trial(config[TRIAL]["values"], config[TRIAL]["seed"])
        # PBT copies a donor's configuration: a trial is who Tune says it is.
        trial = self._trial = replace(planned, id=self.trial_name) if self._trial_info else planned
        resources = trial.resources
        use_cores(resources.cpus_for_main_process)
        self._parallel_games = resources.envs
        self._progress = Progress()
        self._row = {}
        self._has_reached_stop = False
        self._lineage = None
        self._room = Room(self._storage, trial.sweep.checkpoints.min_free)
        self._plan_next_steps()
        algorithm_config = build_config(trial.sweep, trial.seed, resources)
        # Without the storage of this trial the inner Trainable would leave a folder in ~/ray_results.
        self._algorithm: ReusingAlgorithm = algorithm_config.algo_class(
            config=algorithm_config, storage=self._storage, env_runners=env_runners
        )
        self._has_algorithm = True
        self._custom_metrics = CustomMetrics(self._algorithm, trial.sweep.algorithm)
        if trial.sweep.curriculum is not None:
            self._progress.phase.index = first_phase(trial.sweep.curriculum)
            self._enter_phase()
        self._go_on(config[TRIAL].get(CHECKPOINT))

    def _go_on(self, checkpoint: str | None) -> None:
        """From where an earlier run of the sweep was interrupted.

        With PBT the path may be a donor's, and after a retry an old one: Tune restores what counts then.
        """
        if not checkpoint or Path(checkpoint.partition("?")[0]).parent.name != self._trial.id:
            return
        with whole_checkpoint(checkpoint) as folder:
            if folder is not None:
                self._restore(folder)

    def _follow_curriculum(self) -> None:
        """Enter the phase that the rows so far lead to."""
        curriculum, progress = self._trial.sweep.curriculum, self._progress
        if curriculum is None:
            return
        env_id = self._trial.sweep.env_in_phase(progress.phase.index).id
        index = next_phase(curriculum, progress.phase, self._row, progress.env_steps, env_id)
        if index != progress.phase.index:
            progress.enter_phase(index)
            self._enter_phase()

    def _enter_phase(self) -> None:
        """Put the hyperparameters of this trial and its phase in force, and the phase's environment."""
        sweep, progress = self._trial.sweep, self._progress
        phase = phase_of(sweep, progress.phase.index, progress.phase.entry)
        self._algorithm.enter_phase(phase, progress.env_steps)

    def _plan_next_steps(self) -> None:
        sweep, env_steps = self._trial.sweep, self._progress.env_steps
        self._next_checkpoint = env_steps + sweep.checkpoints.every
        self._next_evaluation = env_steps + (sweep.evaluation.every if sweep.evaluation else 0)

    def _evaluate(self) -> None:
        """Play whole games with the policy as it would be exported now."""
        started = time.perf_counter()
        folder = Path(self.logdir) / "evaluated_policy"
        self._save_policy(folder)
        scores = evaluate(folder, self._trial, self._progress.phase.index)
        self._progress.phase.evaluated_env_steps = self._progress.env_steps
        self._progress.evaluation = evaluation_row(scores)
        self._progress.wall_seconds += time.perf_counter() - started

    def _save_policy(self, folder: Path) -> None:
        score = self._row.get(rows.SCORE)
        save_policy(folder, self._trial, self._algorithm, env_steps=self._progress.env_steps, score=score)


MakeTrainable = Callable[[Plan], type[Trainable]]
"""Gives the class whose trials are those of a plan: `trainable_for`, or one that simulates them."""


def trainable_for(plan: Plan) -> type[Trial]:
    """The Trainable class whose trials are those of `plan`.

    It travels by value, to the workers and back to Tune several times a trial, and so does without the list
    of trials: each of them is made again from its values and seed.
    """
    return type("Trial", (Trial,), {"plan": replace(plan, trials=())})
