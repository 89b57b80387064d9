"""`predict` of a policy bundle, as MLflow loads it: this file goes along with a model, beside rlsweep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

ARCHIVE = "rlsweep.zip"
"""In `code/` beside this file, in a model."""

if (_archive := Path(__file__).with_name("code") / ARCHIVE).is_file():
    sys.path.insert(0, str(_archive))

from rlsweep.rl.bundle import load_bundle  # noqa: E402

BUNDLE = "bundle"
"""Name of the model's one artifact."""


class PolicyModel(PythonModel):
    """A policy bundle behind MLflow's `predict`."""

    def load_context(self, context: PythonModelContext) -> None:
        self._policy = load_bundle(Path(context.artifacts[BUNDLE])).policy

    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        """(B, *observation shape) -> (B,) action indices, or (B, *action shape).

        `params`: `greedy` (true), and `seed` (0) of what is sampled otherwise.
        """
        chosen = params or {}
        generator = torch.Generator().manual_seed(int(chosen.get("seed", 0)))
        greedy = bool(chosen.get("greedy", True))
        with torch.inference_mode():
            observations = torch.from_numpy(np.ascontiguousarray(model_input))
            return self._policy.act(observations, greedy=greedy, generator=generator)


set_model(PolicyModel())
