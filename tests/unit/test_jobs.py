"""Names of jobs, and what they say over connections that break."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
from ray.job_submission import JobDetails, JobStatus, JobType

from rlsweep.cli.requests import Retry, RunRequest
from rlsweep.errors import PreflightError, RunError
from rlsweep.run import jobs, submission
from rlsweep.run.heads import is_head
from rlsweep.run.jobs import Job, Jobs, Said, attempt_of, is_of
from rlsweep.run.submission import follow, job_name
from rlsweep.spec import load
from rlsweep.store.layout import Storage

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
        return job_name(load("cartpole_ppo.yaml", overrides=overrides), Storage(Path("/runs")))

    assert name() == name() == name("search.method=grid")
    assert name() != name("seeds=3")
    assert is_of(f"{name()}-1", "cartpole_ppo")
    assert name() != job_name(load("cartpole_ppo.yaml"), Storage(Path("/others")))


def test_what_a_cluster_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.yaml").write_text("")
    outside = tmp_path.parent / f"{tmp_path.name}.yaml"
    outside.write_text("")
    for spec, expected in (
        ("cartpole_ppo.yaml", "cartpole_ppo.yaml"),
        ("./mine/../mine/x.yaml", "mine/x.yaml"),
        (f"{tmp_path}/mine/x.yaml", "mine/x.yaml"),
        (str(outside), str(outside)),  # refused when it is submitted
    ):
        assert RunRequest(spec).arguments() == [expected]
    request = RunRequest("x.yaml", "smoke", ["a=b c"], cpu=True, retry=Retry.FAILED, fork="y", trust=True)
    assert " ".join(request.arguments()) == (
        "x.yaml --profile smoke --set a=b c --retry failed --fork y --cpu --trust"
    )


def test_a_fork_begins_with_the_run_of_its_spec() -> None:
    request = RunRequest("cartpole_ppo.yaml", overrides=["seeds=2"], fork="longer", cpu=True)
    assert (request.load().sweep.name, request.forked_from()) == ("longer", "cartpole_ppo")
    assert request.load().sweep.resources.gpus_per_learner == 0
    assert RunRequest("cartpole_ppo.yaml").forked_from() == ""


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


class Head:
    """In place of Ray's client: connections that break, and a head that is away for a while."""

    ended_after = 0
    away = ()

    def __init__(self, address: str) -> None:
        self.asked = 0

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        yield "epoch 1"
        raise RuntimeError("the connection was closed unexpectedly")

    def get_job_info(self, job_id: str) -> JobDetails:
        self.asked += 1
        if self.asked in self.away:
            raise RuntimeError("Failed to connect")
        status = JobStatus.SUCCEEDED if self.asked > self.ended_after else JobStatus.RUNNING
        return JobDetails(
            type=JobType.SUBMISSION, submission_id=job_id, status=status, entrypoint="", driver_exit_code=0
        )

    def get_job_logs(self, job_id: str) -> str:
        return "epoch 1, epoch 2"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "JobSubmissionClient", Head)
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(jobs, "AWAY_SECONDS", 0.1)
    monkeypatch.setattr(submission, "AWAY_SECONDS", 0.1)
    monkeypatch.setattr(submission, "WAIT_SECONDS", 0.01)


def followed(monkeypatch: pytest.MonkeyPatch, ended_after: int, away: Collection[int] = ()) -> str:
    monkeypatch.setattr(Head, "ended_after", ended_after)
    monkeypatch.setattr(Head, "away", away)
    told: list[str] = []
    assert Jobs("http://head:8265").follow("a-1", told.append).status == "SUCCEEDED"
    return "".join(told)


@pytest.mark.usefixtures("quick")
def test_a_job_is_followed_over_connections_that_break(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert followed(monkeypatch, ended_after=30) == "epoch 1, epoch 2", "for longer than a head may be away"
    assert followed(monkeypatch, ended_after=8, away=(2, 3, 6)) == "epoch 1, epoch 2"
    assert caplog.text.count("Failed to connect; waiting for it") == 2, "once each time"
    with pytest.raises(RunError, match="does not answer any more"):
        followed(monkeypatch, ended_after=10**6, away=range(2, 10**6))


@pytest.mark.usefixtures("quick")
def test_who_does_not_read_any_more_is_not_a_head_that_is_away() -> None:
    def tell(_text: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Jobs("http://head:8265").follow("a-1", tell)


@pytest.mark.usefixtures("quick")
def test_a_lost_job_is_submitted_again_once_the_head_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Job("a-1", "FAILED", None, "node died", "JOB_SUPERVISOR_ACTOR_DIED")
    done = Job("a-2", "SUCCEEDED", 0, "")
    monkeypatch.setattr(Jobs, "follow", lambda _jobs, job_id, _tell: {"a-1": lost, "a-2": done}[job_id])
    tries: list[Job] = []

    def at_third_time() -> Job:
        tries.append(done)
        if len(tries) < 3:
            raise RunError("Failed to connect")
        return done

    def never() -> Job:
        raise RunError("Failed to connect")

    head = Jobs("http://head:8265")
    assert follow(head, lost, at_third_time, print) == done
    assert len(tries) == 3
    with pytest.raises(RunError, match="Failed to connect"):
        follow(head, lost, never, print)


def test_addresses() -> None:
    assert is_head("http://head:8265")
    assert is_head("https://head")
    assert not is_head("auto")
    assert not is_head("head:6379")
    with pytest.raises(PreflightError, match="http://HEAD:8265"):
        is_head("ray://head:10001")
