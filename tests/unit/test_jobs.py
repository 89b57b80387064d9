"""Names of jobs, and what they say over connections that break."""

from __future__ import annotations

import pytest

from rlsweep.errors import PreflightError
from rlsweep.run.heads import is_head
from rlsweep.run.jobs import Job, Said, attempt_of, is_of
from rlsweep.run.submission import job_name
from rlsweep.spec import load

HASH = "0123456789ab"


@pytest.mark.parametrize(
    ("submission_id", "run", "expected"),
    [
        (f"cartpole-{HASH}-1", "cartpole", True),
        (f"cartpole-{HASH}-12", f"cartpole-{HASH}-12", True),
        (f"cartpole-two-{HASH}-1", "cartpole", False),
        (f"cartpole_two-{HASH}-1", "cartpole", False),
        ("cartpole", "cartpole", True),
        ("", "cartpole", False),
        (f"cartxole-{HASH}-1", "cart.ole", False),
    ],
)
def test_jobs_of_a_sweep(submission_id: str, run: str, expected: bool) -> None:
    assert is_of(submission_id, run) is expected


def test_attempts_are_counted() -> None:
    name = f"cartpole-{HASH}"
    ids = [f"{name}-1", f"{name}-12", name, f"{name}-x", f"other-{HASH}-1", "", None]
    assert [attempt_of(one, name) for one in ids] == [1, 12, 0, 0, 0, 0, 0]


def test_a_name_stands_for_a_resolved_spec() -> None:
    def name(*overrides: str) -> str:
        return job_name(load("cartpole_ppo.yaml", overrides=overrides))

    assert name() == name() == name("search.method=grid")
    assert name() != name("seeds=3")
    assert is_of(f"{name()}-1", "cartpole_ppo")


def test_what_a_job_says_is_told_once() -> None:
    told: list[str] = []
    said = Said(told.append)
    for connection in (["ab", "c"], ["a", "bcd"], [], ["abcdef"], ["abc", "def", "g"]):
        said.begin()
        for text in connection:
            said.hear(text)
    assert "".join(told) == "abcdefg"


@pytest.mark.parametrize(
    ("status", "exit_code", "error_type", "is_lost"),
    [
        ("FAILED", None, "JOB_SUPERVISOR_ACTOR_DIED", True),
        ("FAILED", None, "RUNTIME_ENV_SETUP_FAILURE", False),
        ("FAILED", -9, "JOB_ENTRYPOINT_COMMAND_ERROR", True),
        ("FAILED", 143, "", True),
        ("FAILED", 3, "", False),
        ("FAILED", 4, "", False),
        ("STOPPED", None, "", False),
        ("SUCCEEDED", 0, "", False),
        ("RUNNING", None, "", False),
    ],
)
def test_which_jobs_are_submitted_again(
    status: str, exit_code: int | None, error_type: str, is_lost: bool
) -> None:
    job = Job("a-1", status, exit_code, "", error_type)
    assert job.is_lost is is_lost
    assert job.has_ended is (status != "RUNNING")


def test_addresses() -> None:
    assert is_head("http://head:8265")
    assert is_head("https://head")
    assert not is_head("auto")
    assert not is_head("head:6379")
    with pytest.raises(PreflightError, match="http://HEAD:8265"):
        is_head("ray://head:10001")
