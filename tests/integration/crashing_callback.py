"""A callback with a mistake in it; a spec names it as `crashing_callback:Broken`."""

from __future__ import annotations

from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback


class Broken(RLlibCallback):
    """Raises after every iteration."""

    def on_train_result(self, *, result: dict[str, Any], **kwargs: Any) -> None:
        raise RuntimeError("a mistake in a callback")
