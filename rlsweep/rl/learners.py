"""What rlsweep adds to RLlib's learners: coefficients of the loss that change with env steps, and
hyperparameters that stay in force when a checkpoint of another trial is taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.appo.torch.appo_torch_learner import APPOTorchLearner
from ray.rllib.algorithms.impala.torch.impala_torch_learner import IMPALATorchLearner
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from rlsweep.spec.schedules import Points, scheduled_value

SCHEDULES = "rlsweep_schedules"
"""Key of `learner_config_dict`: hyperparameter -> points of its schedule."""

CURRENT = "curr_"
"""Prefix of the metrics that hold a coefficient's value of the last update, as RLlib's own `curr_…`."""


class ScheduledLoss(TorchLearner):
    """Gives the loss a config whose coefficients have the values of this moment.

    A mixin for RLlib's learners, which read `config.clip_param` and its kind anew in each
    `compute_loss_for_module`, but let the schedules of RLlib change only `lr` and `entropy_coeff`.
    """

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        super().before_gradient_based_update(timesteps=timesteps)
        env_steps = timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)
        schedules: Mapping[str, Points] = self.config.learner_config_dict[SCHEDULES]
        self._coefficients = {name: scheduled_value(points, env_steps) for name, points in schedules.items()}
        self._loss_configs: dict[str, AlgorithmConfig] = {}

    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Any:
        if module_id not in self._loss_configs:  # a copy takes milliseconds, an update has many minibatches
            self._loss_configs[module_id] = config.copy(copy_frozen=False).training(**self._coefficients)
        current = self._loss_configs[module_id]
        return super().compute_loss_for_module(
            module_id=module_id, config=current, batch=batch, fwd_out=fwd_out
        )

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        super().after_gradient_based_update(timesteps=timesteps)
        for module_id in self._loss_configs:
            for name, value in self._coefficients.items():
                self.metrics.log_value((module_id, CURRENT + name), value, window=1)


class ScheduledPPOLearner(ScheduledLoss, PPOTorchLearner):
    """PPO's learner with scheduled coefficients."""


class ScheduledAPPOLearner(ScheduledLoss, APPOTorchLearner):
    """APPO's learner with scheduled coefficients."""


class ScheduledIMPALALearner(ScheduledLoss, IMPALATorchLearner):
    """IMPALA's learner with scheduled coefficients."""


SCHEDULED_LEARNERS: dict[str, type[ScheduledLoss]] = {
    "ppo": ScheduledPPOLearner,
    "appo": ScheduledAPPOLearner,
    "impala": ScheduledIMPALALearner,
}
"""Algorithm -> the learner for a loss with scheduled coefficients."""


def enforce_hyperparameters(learner: TorchLearner, env_steps: int) -> None:
    """Put the learner's own learning rate and entropy coefficient in force after a checkpoint was loaded.

    The optimizer's state brings the learning rate of whoever saved it, and RLlib's schedulers stand at 0 env
    steps until the first update: without this, a trial of PBT would make that update with its donor's values.

    Args:
        learner: for `LearnerGroup.foreach_learner`.
        env_steps: at which the checkpoint was taken.
    """
    lr = learner.config.lr
    current = (
        scheduled_value([list(point) for point in lr], env_steps) if isinstance(lr, (list, tuple)) else lr
    )
    for module_id in learner.module.keys():  # noqa: SIM118  a MultiRLModule is no mapping
        for _, optimizer in learner.get_optimizers_for_module(module_id):
            for group in optimizer.param_groups:
                group["lr"] = current
        schedulers = getattr(learner, "entropy_coeff_schedulers_per_module", None)
        if schedulers is not None:
            schedulers[module_id].update(timestep=env_steps)
