"""Importance ratios against a case computed by hand, and the seconds between marks."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace

import pytest
import torch
from ray.rllib.models.torch.torch_distributions import TorchCategorical

from callbacks.worker.learner_diagnostics import ratios
from callbacks.worker.trial_callback import Minibatch
from rlsweep.rl.laps import Laps

MODULE = SimpleNamespace(get_train_action_dist_cls=lambda: TorchCategorical)


def log(*probabilities: float) -> list[float]:
    return [math.log(probability) for probability in probabilities]


def test_ratios_by_hand() -> None:
    """mu is uniform over two actions; pi takes the first with 3/4. The last row is masked."""
    mu, pi = log(0.5, 0.5), log(0.75, 0.25)
    batch = {
        "actions": torch.tensor([0, 0, 1, 1]),
        "action_logp": torch.full((4,), math.log(0.5)),
        "action_dist_inputs": torch.tensor([mu] * 4),
        "loss_mask": torch.tensor([True, True, True, False]),
    }
    outputs = {"action_dist_inputs": torch.tensor([pi] * 4)}
    config = SimpleNamespace(vtrace_clip_rho_threshold=1.4)
    found = {
        key: float(value) for key, value in ratios(Minibatch("p", MODULE, config, batch, outputs)).items()
    }
    # ratios 1.5, 1.5, 0.5
    assert found == pytest.approx(
        {
            "ratio_min": 0.5,
            "ratio_mean": 3.5 / 3,
            "ratio_max": 1.5,
            "rho_clipped_share": 2 / 3,
            "c_clipped_share": 2 / 3,
            "kl": 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25),
        }
    )


def test_without_v_trace_nothing_is_clipped() -> None:
    same = torch.tensor([log(0.5, 0.5)])
    batch = {"actions": torch.tensor([1]), "action_logp": torch.tensor(log(0.5)), "action_dist_inputs": same}
    found = ratios(Minibatch("p", MODULE, SimpleNamespace(), batch, {"action_dist_inputs": same}))
    assert set(found) == {"ratio_min", "ratio_mean", "ratio_max", "kl"}
    assert float(found["kl"]) == pytest.approx(0)


def test_laps_are_the_seconds_between_marks() -> None:
    laps = Laps("cpu")
    for pause in (0.02, 0.05, 0.0):
        laps.mark()
        time.sleep(pause)
    first, second = laps.seconds()
    assert first >= 0.02
    assert second >= 0.05
