"""Parts of a batch on a core each: the same features and gradients, whatever the cores do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch
from pydantic import TypeAdapter

from rlsweep.rl.cores import MIN_ROWS, in_parts, parts_of, side_by_side, use_cores
from rlsweep.rl.networks import Torso, make_torso
from rlsweep.spec.network import NetworkSpec


@pytest.fixture(autouse=True)
def one_core_afterwards() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    use_cores(1)
    torch.set_num_threads(threads)


def nature_cnn(precision: str) -> Torso:
    torch.manual_seed(0)
    spec = TypeAdapter(NetworkSpec).validate_python({"name": "nature_cnn", "precision": precision})
    return make_torso(spec, (4, 44, 44))


def images(rows: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (rows, 4, 44, 44), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 2e-2)])
@pytest.mark.parametrize("rows", [2 * MIN_ROWS, 3 * MIN_ROWS + 5])
def test_parts_give_the_features_and_gradients_of_the_whole(
    precision: str, tolerance: float, rows: int
) -> None:
    results = []
    for cores in (1, 3):
        use_cores(cores)
        torso = nature_cnn(precision)
        assert parts_of(images(rows)) == min(cores, rows // MIN_ROWS)
        features = torso(images(rows))
        features.square().mean().backward()
        gradients = [parameter.grad for parameter in torso.parameters()]
        results.append([features.detach(), *(one for one in gradients if one is not None)])
        with torch.no_grad():
            assert torch.equal(torso(images(rows)), features.detach())
    whole, parts = results
    assert len(whole) == len(parts) == 9
    for one, other in zip(whole, parts, strict=True):
        assert float((one - other).norm() / one.norm()) < tolerance


def test_frozen_parameters_get_no_gradient_and_none_at_all_need_no_graph() -> None:
    use_cores(2)
    torso = nature_cnn("fp32")
    frozen, *others = torso.parameters()
    frozen.requires_grad_(False)
    torso(images(2 * MIN_ROWS)).sum().backward()
    assert frozen.grad is None
    assert all(parameter.grad is not None for parameter in others)
    torso.requires_grad_(False)
    assert not torso(images(2 * MIN_ROWS)).requires_grad


def test_jobs_run_side_by_side_in_their_order() -> None:
    use_cores(2)
    meeting = threading.Barrier(2, timeout=300)  # each waits until the other is there too

    def job(number: int) -> int:
        meeting.wait()
        return number

    assert side_by_side([lambda: job(1), lambda: job(2)]) == [1, 2]


def test_a_job_that_no_core_is_free_for_is_done_by_the_caller() -> None:
    use_cores(2)
    release = threading.Event()
    long_one = threading.Thread(target=side_by_side, args=([lambda: None, lambda: release.wait(20)],))
    long_one.start()
    time.sleep(0.2)
    assert side_by_side([lambda: 1, threading.get_ident]) == [1, threading.get_ident()]
    release.set()
    long_one.join()


def test_jobs_of_a_job_wait_for_no_core() -> None:
    use_cores(2)
    inner = [lambda: parts_of(images(4 * MIN_ROWS)), lambda: 5]
    assert side_by_side([lambda: 0, lambda: side_by_side(inner)]) == [0, [1, 5]]


def test_an_error_of_a_job_is_the_callers() -> None:
    use_cores(2)
    begun, done = threading.Event(), threading.Event()

    def fails() -> None:
        begun.wait(20)
        raise ZeroDivisionError

    def takes_its_time() -> None:
        begun.set()
        time.sleep(0.1)
        done.set()

    with pytest.raises(ZeroDivisionError):
        side_by_side([fails, takes_its_time])
    assert done.is_set()  # it does not go on unseen
    with pytest.raises(ZeroDivisionError):
        side_by_side([takes_its_time, fails])


def test_in_parts_of_one_row_each() -> None:
    use_cores(2)
    torso = nature_cnn("fp32")
    together = in_parts(torso.layers, torso.layers, images(2), 2)
    torch.testing.assert_close(together, torso.layers(images(2)))
