"""Parameter importance on made-up results where the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.importance import importance, seed_noise


def test_what_matters_is_found_and_what_does_not_is_not() -> None:
    rng = np.random.default_rng(0)
    values = [
        {"lr": float(lr), "epochs": epochs, "net": net}
        for lr in np.geomspace(1e-5, 1e-3, 6)
        for epochs in (2, 4)
        for net in ("small", "big")
    ]
    results = [10 * math.log10(one["lr"]) + 2 * (one["net"] == "big") + rng.normal(0, 0.1) for one in values]
    found = importance(values, results)
    assert found is not None
    assert next(iter(found.parameters)) == "lr"
    assert found.parameters["lr"] > 0.9
    assert found.parameters["epochs"] < 0.02
    assert sum(found.parameters.values()) == pytest.approx(1)
    assert math.isnan(found.seed_noise), "one seed each"


def test_seed_noise_by_hand() -> None:
    values = [{"lr": 1}, {"lr": 1}, {"lr": 2}, {"lr": 2}]
    # means 1 and 5, the mean of all 3: within 2 + 2, in all 9 + 1 + 1 + 9
    assert seed_noise(values, [0, 2, 4, 6]) == pytest.approx(4 / 20)
    assert seed_noise(values, [0, 6, 6, 0]) == pytest.approx(1)


def test_too_little_to_judge_by() -> None:
    assert importance([{"lr": 1}, {"lr": 2}, {"lr": 3}], [1, 2, 3]) is None
    assert importance([{"lr": 1}] * 5, [1, 2, 3, 4, 5]) is None, "nothing varies"
    assert importance([{"lr": i} for i in range(5)], [1.0] * 5) is None, "no result differs"
    assert importance([], []) is None
    assert importance([{"lr": i} for i in range(5)], [math.nan] * 5) is None


def test_a_parameter_that_is_infinite_somewhere_is_a_choice() -> None:
    values = [{"clip": clip, "lr": lr} for clip in (0.5, math.inf) for lr in (1.0, 2.0, 3.0)]
    found = importance(values, [1.0, 1.1, 1.2, 9.0, 9.1, 9.2])
    assert found is not None
    assert found.parameters["clip"] > found.parameters["lr"]
