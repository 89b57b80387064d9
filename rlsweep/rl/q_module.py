"""RLlib's RLModule (new API stack) round DQN's network."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from ray.rllib.algorithms.dqn.default_dqn_rl_module import (
    ATOMS,
    QF_LOGITS,
    QF_NEXT_PREDS,
    QF_PREDS,
    QF_PROBS,
    QF_TARGET_NEXT_PREDS,
    QF_TARGET_NEXT_PROBS,
)
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, QNetAPI, TargetNetworkAPI
from ray.rllib.utils.schedules.scheduler import Scheduler
from torch import Tensor

from rlsweep.rl.cores import side_by_side
from rlsweep.rl.modules import RANDOM_ENV_STEPS, Batch, TorsoModule, network_spec
from rlsweep.rl.noisy import make_noisy, use_noise
from rlsweep.rl.policies import QNetwork

NOISE = "noise"
"""Key of the model config: sigma0 of noisy linear layers, 0 for plain ones."""

SOFTMAX_TEMPERATURE = "softmax_temperature"
"""Key of the model config: actions are drawn by their values at this temperature; None takes the best."""


class QModule(TorsoModule, InferenceOnlyAPI, TargetNetworkAPI, QNetAPI):
    """DQN. The settings `dueling`, `double_q`, `num_atoms`, `v_min`, `v_max` and `epsilon` reach it
    through the model config, where DQNConfig puts them; the keys above are ours.

    A noisy network has new noise in each step of the env runner, and in each update one for the online and
    one for the target network (Fortunato et al. 2018, section 3.1).
    """

    def setup(self) -> None:
        settings = self.model_config
        self.uses_double_q = bool(settings["double_q"])
        self.epsilon_schedule = Scheduler(
            fixed_value_or_schedule=settings["epsilon"], framework=self.framework
        )
        self.network = QNetwork(
            network_spec(settings),
            self.observation_space.shape,
            self.action_space,
            dueling=settings["dueling"],
            num_atoms=settings["num_atoms"],
            v_min=settings["v_min"],
            v_max=settings["v_max"],
        )
        self.softmax_temperature = settings.get(SOFTMAX_TEMPERATURE)
        sigma0 = settings.get(NOISE, 0.0)
        self.is_noisy = sigma0 > 0
        if self.is_noisy:
            make_noisy(self.network, sigma0)
            # Its own: env runner and learner draw side by side, and torch's is one for all threads.
            self._generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))

    def get_non_inference_attributes(self) -> list[str]:
        return ["_target_network"]

    def make_target_networks(self) -> None:
        self._target_network = make_target_network(self.network)

    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        return [(self.network, self._target_network)]

    def forward_target(self, batch: Batch) -> Batch:
        return self._q_outputs(self._target_network, batch[Columns.OBS])

    def compute_q_values(self, batch: Batch) -> Batch:
        return self._q_outputs(self.network, batch[Columns.OBS])

    def _forward_inference(self, batch: Batch, **kwargs: Any) -> Batch:
        if self.is_noisy:
            use_noise(self.network, None)
        return {Columns.ACTIONS: self._best(batch)}

    def _forward_exploration(self, batch: Batch, t: int, **kwargs: Any) -> Batch:
        """Epsilon-greedy, over noise or softmax; `t` is the number of env steps sampled so far."""
        self.epsilon_schedule.update(t)
        is_random = t < self.model_config.get(RANDOM_ENV_STEPS, 0)
        epsilon = 1.0 if is_random else self.epsilon_schedule.get_current_value()
        if self.is_noisy:
            use_noise(self.network, self._generator)
        chosen = self._drawn(batch) if self.softmax_temperature else self._best(batch)
        anything = torch.randint_like(chosen, self.network.num_actions)
        explores = torch.rand(chosen.shape, device=chosen.device) < epsilon
        return {Columns.ACTIONS: torch.where(explores, anything, chosen)}

    def _forward_train(self, batch: Batch, **kwargs: Any) -> Batch:
        if self.is_noisy:
            for network in (self.network, self._target_network):
                use_noise(network, self._generator)
        online, following = side_by_side(
            [partial(self.compute_q_values, batch), partial(self._next_outputs, batch)]
        )
        outputs = {**following, QF_PREDS: online[QF_PREDS]}
        if self.network.num_atoms > 1:
            outputs[QF_LOGITS], outputs[QF_PROBS] = online[QF_LOGITS], online[QF_PROBS]
        return outputs

    @torch.no_grad()
    def _best(self, batch: Batch) -> Tensor:
        """(B,) the actions with the largest values."""
        return self.network.decide(batch[Columns.OBS]).argmax(-1)

    @torch.no_grad()
    def _drawn(self, batch: Batch) -> Tensor:
        """(B,) actions drawn from the softmax of their values."""
        values: Tensor = self.network.decide(batch[Columns.OBS]) / self.softmax_temperature
        return values.softmax(-1).multinomial(1).squeeze(-1)

    @torch.no_grad()  # the loss takes these as constants: no gradient has to be kept for them
    def _next_outputs(self, batch: Batch) -> Batch:
        target = self._q_outputs(self._target_network, batch[Columns.NEXT_OBS])
        outputs = {QF_TARGET_NEXT_PREDS: target[QF_PREDS]}
        if self.uses_double_q:  # van Hasselt et al. 2016: the online network picks the next action
            outputs[QF_NEXT_PREDS] = self.network.decide(batch[Columns.NEXT_OBS])
        if self.network.num_atoms > 1:
            outputs |= {ATOMS: target[ATOMS], QF_TARGET_NEXT_PROBS: target[QF_PROBS]}
        return outputs

    @staticmethod
    def _q_outputs(network: QNetwork, observations: Tensor) -> Batch:
        logits = network.atom_logits(observations)
        outputs = {QF_PREDS: network.expectation(logits)}
        if network.num_atoms > 1:
            outputs |= {ATOMS: network.atoms, QF_LOGITS: logits, QF_PROBS: logits.softmax(-1)}
        return outputs
