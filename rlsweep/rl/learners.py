"""RLlib's learners with updates that cost little beside the network. The losses are RLlib's own."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import torch
from ray.rllib.algorithms.appo.torch.appo_torch_learner import APPOTorchLearner
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.algorithms.impala.torch.impala_torch_learner import IMPALATorchLearner
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from rlsweep.rl.coefficients import ChangingHyperparameters, ScheduledLoss
from rlsweep.rl.gpu_share import SharedGpu
from rlsweep.rl.watched_learner import WatchedLearner
from rlsweep.store.rows import GLOBAL_NORM, SKIPPED_UPDATES

logger = logging.getLogger(__name__)

DETERMINISTIC = "deterministic"
"""Key of `learner_config_dict`: what the spec says."""

Gradients = dict[Any, torch.Tensor]
"""RLlib's reference of a parameter -> its gradient."""


class DeterministicOperations(TorchLearner):
    """Where the spec asks for it, operations that have no deterministic form raise a RuntimeError.

    RLlib asks for that on the CPU wherever there is a seed; on CUDA it makes only cuDNN deterministic.
    """

    def build(self) -> None:
        if self.config.learner_config_dict.get(DETERMINISTIC):
            torch.use_deterministic_algorithms(True)
        super().build()


class FusedAdam(TorchLearner):
    """Adam in one pass over each parameter: a twelfth of the time of the default on the Nature CNN's 1.7M."""

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        parameters = self.get_parameters(self.module[module_id])
        self.register_optimizer(
            module_id=module_id,
            optimizer=torch.optim.Adam(parameters, fused=True),
            params=parameters,
            lr_or_lr_schedule=config.lr,
        )


class FiniteUpdates(TorchLearner):
    """An update whose gradient is no number is left out; one norm tells that and clips too.

    RLlib takes the norm tensor by tensor, looks at every gradient twice and puts zeros where there is no
    number. The losses show a divergence either way; weights that are no numbers would end the trial in its
    next sample.
    """

    def postprocess_gradients(self, gradients_dict: Gradients) -> Gradients:
        self._is_finite = True
        return super().postprocess_gradients(gradients_dict)  # type: ignore[no-any-return]

    def postprocess_gradients_for_module(
        self, *, module_id: str, config: Any = None, module_gradients_dict: Gradients
    ) -> Gradients:
        gradients = [gradient for gradient in module_gradients_dict.values() if gradient is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not math.isfinite(norm):
            self._is_finite = False
            self.metrics.log_value((module_id, SKIPPED_UPDATES), 1, reduce="lifetime_sum")
        self.metrics.log_value((module_id, GLOBAL_NORM), norm, window=1)
        if config.grad_clip is None or config.grad_clip_by != "global_norm":
            return super().postprocess_gradients_for_module(  # type: ignore[no-any-return]
                module_id=module_id, config=config, module_gradients_dict=module_gradients_dict
            )
        if norm > config.grad_clip:
            # torch's reference of a parameter is the parameter; to list a module's takes longer than to clip
            torch.nn.utils.clip_grads_with_norm_(module_gradients_dict, config.grad_clip, norm)
        return module_gradients_dict

    def apply_gradients(self, gradients_dict: Gradients) -> None:
        if self._is_finite:
            super().apply_gradients(gradients_dict)
        else:
            logger.warning("an update is left out: its gradient is no number")


class GatheredMinibatches(TorchLearner):
    """Minibatches are gathered out of the train batch as they are used; it is never shuffled as a whole."""

    def _create_iterator_if_necessary(
        self,
        *,
        training_data: TrainingData,
        num_total_minibatches: int = 0,
        num_epochs: int = 1,
        minibatch_size: int | None = None,
        shuffle_batch_per_epoch: bool = False,
        **kwargs: Any,
    ) -> Iterator[MultiAgentBatch]:
        batch = self._make_batch_if_necessary(training_data=training_data)
        return minibatches(
            batch,
            num_epochs=num_epochs,
            minibatch_size=minibatch_size,
            shuffle=shuffle_batch_per_epoch,
            num_minibatches=num_total_minibatches,
        )


class PPOLearner(
    SharedGpu,
    WatchedLearner,
    ScheduledLoss,
    DeterministicOperations,
    FusedAdam,
    FiniteUpdates,
    GatheredMinibatches,
    PPOTorchLearner,
):
    """PPO's learner with scheduled coefficients."""


class APPOLearner(SharedGpu, WatchedLearner, ScheduledLoss, FusedAdam, FiniteUpdates, APPOTorchLearner):
    """APPO's learner with scheduled coefficients."""


class IMPALALearner(SharedGpu, WatchedLearner, ScheduledLoss, FusedAdam, FiniteUpdates, IMPALATorchLearner):
    """IMPALA's learner with scheduled coefficients."""


class DQNLearner(
    SharedGpu,
    WatchedLearner,
    ChangingHyperparameters,
    DeterministicOperations,
    FusedAdam,
    FiniteUpdates,
    DQNTorchLearner,
):
    """DQN's learner."""


LEARNERS: dict[str, type[TorchLearner]] = {
    "ppo": PPOLearner,
    "appo": APPOLearner,
    "impala": IMPALALearner,
    "dqn": DQNLearner,
}


def minibatches(
    batch: MultiAgentBatch,
    *,
    num_epochs: int,
    minibatch_size: int | None,
    shuffle: bool,
    num_minibatches: int = 0,
) -> Iterator[MultiAgentBatch]:
    """Minibatches of the rows of `batch` that its LOSS_MASK leaves in.

    Every minibatch has its full size: one that would be cut short by an epoch's end goes on into the next
    epoch, and what is left over at the very end is dropped.

    Args:
        batch: of one module, tensors.
        num_epochs: passes over the rows.
        minibatch_size: rows; None makes it one of all rows for each epoch.
        shuffle: a new order of the rows for each epoch.
        num_minibatches: so many, whatever the epochs say, where several learners must stay in step; 0 for as
            many as the epochs hold.
    """
    [(module_id, columns)] = batch.policy_batches.items()
    mask = columns[Columns.LOSS_MASK]
    rows = mask.nonzero().squeeze(-1)
    size = min(minibatch_size or len(rows), len(rows))
    count = num_minibatches or len(rows) * num_epochs // size
    order = rows[:0]
    for _ in range(count):
        if len(order) < size:
            epoch = rows[torch.randperm(len(rows), device=rows.device)] if shuffle else rows
            order = torch.cat([order, epoch])
        chosen, order = order[:size], order[size:]
        gathered = {
            name: values.index_select(0, chosen)
            for name, values in columns.items()
            if name != Columns.LOSS_MASK
        }
        yield MultiAgentBatch({module_id: SampleBatch(gathered)}, env_steps=batch.env_steps())
