"""A learner that lets callbacks watch it (`callbacks.worker.trial_callback`)."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ray.rllib.core.learner.torch.torch_learner import TorchLearner

from callbacks.worker.trial_callback import Minibatch, TrialCallback, overrides
from rlsweep.rl.callbacks import CALLBACKS, Make
from rlsweep.rl.laps import Laps


class WatchedLearner(TorchLearner):
    """A mixin that calls the hooks which callbacks override; without any it does nothing."""

    def build(self) -> None:
        super().build()
        makers: Mapping[str, Make] = self.config.learner_config_dict.get(CALLBACKS, {})
        made = [one for make in makers.values() if isinstance(one := make(), TrialCallback)]

        def watching(hook: str) -> list[TrialCallback]:
            return [one for one in made if overrides(one, hook)]

        self._watch_losses, self._watch_gradients = watching("on_loss"), watching("on_gradients")
        self._watch_times, self._watch_updates = watching("on_times"), watching("on_update_end")
        self._laps: Laps | None = None
        self._num_minibatches = 0
        self._began = self._ended = math.nan

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        self._began = time.perf_counter()
        super().before_gradient_based_update(timesteps=timesteps)

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Any:
        loss = super().compute_loss_for_module(
            module_id=module_id, config=config, batch=batch, fwd_out=fwd_out
        )
        for callback in self._due(self._watch_losses):
            minibatch = Minibatch(module_id, self.module[module_id].unwrapped(), config, batch, fwd_out)
            callback.on_loss(learner=self, minibatch=minibatch)
        return loss

    def _uncompiled_update(self, batch: dict[str, Any], **kwargs: Any) -> Any:
        watching = self._due(self._watch_times)
        if not watching:
            found = super()._uncompiled_update(batch, **kwargs)
        else:
            laps = self._laps = Laps(self._device)
            laps.mark()
            found = super()._uncompiled_update(batch, **kwargs)
            laps.mark()
            self._laps = None
            forward, backward, optimizer = laps.seconds()
            for callback in watching:
                callback.on_times(learner=self, forward=forward, backward=backward, optimizer=optimizer)
        self._num_minibatches += 1
        return found

    def compute_gradients(self, loss_per_module: dict[str, Any], **kwargs: Any) -> Any:
        if self._laps is None:
            return super().compute_gradients(loss_per_module, **kwargs)
        self._laps.mark()
        gradients = super().compute_gradients(loss_per_module, **kwargs)
        self._laps.mark()
        return gradients

    def postprocess_gradients_for_module(
        self, *, module_id: str, config: Any = None, module_gradients_dict: dict[Any, Any]
    ) -> Any:
        for callback in self._due(self._watch_gradients):
            callback.on_gradients(learner=self, module_id=module_id, gradients=module_gradients_dict)
        return super().postprocess_gradients_for_module(
            module_id=module_id, config=config, module_gradients_dict=module_gradients_dict
        )

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        super().after_gradient_based_update(timesteps=timesteps)
        if not self._watch_updates:
            return
        waited, self._ended = self._began - self._ended, time.perf_counter()
        for callback in self._watch_updates:
            callback.on_update_end(learner=self, seconds=self._ended - self._began, waited=waited)

    def _due(self, callbacks: Sequence[TrialCallback]) -> list[TrialCallback]:
        """Those that want to see this minibatch."""
        return [one for one in callbacks if self._num_minibatches % one.every == 0]
