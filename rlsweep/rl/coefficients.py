"""Hyperparameters that change while a learner trains: schedules, phases of a curriculum, and what stays in
force when a checkpoint is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from ray.rllib.utils.schedules.scheduler import Scheduler

from rlsweep.spec.schedules import SCHEDULED_BY_RLLIB, Points, scheduled_value

SCHEDULES = "rlsweep_schedules"
"""Key of `learner_config_dict`: hyperparameter -> points of its schedule."""

CURRENT = "curr_"
"""Prefix of the metrics that hold a coefficient's value of the last update, as RLlib's own `curr_…`."""


class ChangingHyperparameters(TorchLearner):
    """A learner whose hyperparameters can be other than its config's for a while."""

    _in_force: Mapping[str, float] = {}

    def put_in_force(self, values: Mapping[str, float], env_steps: int) -> None:
        """Train with these values from the next update on, and with the config's where there is none.

        The optimizer's state brings the learning rate of whoever saved it, and RLlib's schedulers stand at 0
        env steps until the first update: without this, a trial of PBT would make that update with its
        donor's values.

        Args:
            values: hyperparameter -> number, of those that may have a schedule.
            env_steps: of the trial, where the schedules of the others stand.
        """
        self._in_force = dict(values)
        lr = values.get("lr", self.config.lr)
        for module_id in self.module.keys():  # noqa: SIM118  a MultiRLModule is no mapping
            for _, optimizer in self.get_optimizers_for_module(module_id):
                schedule = self._optimizer_lr_schedules[optimizer] = self._scheduler(lr, env_steps)
                for group in optimizer.param_groups:
                    group["lr"] = float(schedule.get_current_value())
            schedulers = getattr(self, "entropy_coeff_schedulers_per_module", None)
            if schedulers is not None:
                entropy_coeff = values.get("entropy_coeff", self.config.entropy_coeff)
                schedulers[module_id] = self._scheduler(entropy_coeff, env_steps)

    def _scheduler(self, value: Any, env_steps: int) -> Scheduler:
        made = Scheduler(fixed_value_or_schedule=value, framework=self.framework, device=self._device)
        made.update(timestep=env_steps)
        return made


def put_in_force(learner: ChangingHyperparameters, values: Mapping[str, float], env_steps: int) -> None:
    """`learner.put_in_force(...)`, as what `LearnerGroup.foreach_learner` calls on each."""
    learner.put_in_force(values, env_steps)


class ScheduledLoss(ChangingHyperparameters):
    """Gives the loss a config whose coefficients have the values of this moment.

    A mixin for RLlib's learners, which read `config.clip_param` and its kind anew in each
    `compute_loss_for_module`, but let the schedules of RLlib change only `lr` and `entropy_coeff`.
    """

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        super().before_gradient_based_update(timesteps=timesteps)
        env_steps = timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)
        schedules: Mapping[str, Points] = self.config.learner_config_dict.get(SCHEDULES, {})
        fixed = {name: value for name, value in self._in_force.items() if name not in SCHEDULED_BY_RLLIB}
        self._coefficients = {
            name: scheduled_value(points, env_steps) for name, points in schedules.items()
        } | fixed
        self._loss_configs: dict[str, AlgorithmConfig] = {}

    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Any:
        if self._coefficients:
            # a copy takes milliseconds, and an update has many minibatches
            if module_id not in self._loss_configs:
                self._loss_configs[module_id] = config.copy(copy_frozen=False).training(**self._coefficients)
            config = self._loss_configs[module_id]
        return super().compute_loss_for_module(
            module_id=module_id, config=config, batch=batch, fwd_out=fwd_out
        )

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        super().after_gradient_based_update(timesteps=timesteps)
        for module_id in self._loss_configs:
            for name, value in self._coefficients.items():
                self.metrics.log_value((module_id, CURRENT + name), value, window=1)
