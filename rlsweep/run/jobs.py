"""Jobs of a Ray cluster, through the Jobs API on its head: submitted, followed, stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from rlsweep.errors import PreflightError, RunError
from rlsweep.spec.quantities import duration

logger = logging.getLogger(__name__)

_CHATTY = (
    *("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"),
    *("ray._private.runtime_env.packaging", "ray._private.runtime_env.working_dir"),
)
"""Loggers that name every file that is not sent."""

_LOST = ("JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE")
"""Errors of a job whose node, or Ray on it, has died."""

TOLD_TO_STOP = 143
"""Exit code of a sweep that got SIGTERM. Where nobody has stopped its job, its node goes down."""

TRIES = 30
"""For a job, where the head has no agent yet."""

POLL_SECONDS = 2.0
AWAY_SECONDS = 600.0
"""Between two questions to the head, and how long it may not answer before nobody follows any more."""


@dataclass(frozen=True)
class Job:
    """A job of the cluster.

    Attributes:
        id: its submission id.
        status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        exit_code: of its command; None while that runs, or where its process was lost.
        message: what Ray says of it.
        error_type: why it failed where its command did not, in Ray's words; else empty.
    """

    id: str
    status: str
    exit_code: int | None
    message: str
    error_type: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether it will not go on."""
        return bool(JobStatus(self.status).is_terminal())

    @property
    def is_lost(self) -> bool:
        """Whether its process or its node died, rather than that its command ended."""
        if self.exit_code is None:  # perhaps it could not even be started, as the next one could not be
            return self.error_type in _LOST
        return self.status == JobStatus.FAILED and (self.exit_code < 0 or self.exit_code == TOLD_TO_STOP)


class Said:
    """What a job says, told once, though each connection begins with its first word."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._heard = self._told = 0

    def begin(self) -> None:
        """A new connection."""
        self._heard = 0

    def hear(self, text: str) -> None:
        """Tell of a text what was not told before."""
        self._heard += len(text)
        new = self._heard - self._told
        if new > 0:
            self._told = self._heard
            self._tell(text[max(0, len(text) - new) :])


class Jobs:
    """The jobs of one cluster.

    Args:
        address: of its head's dashboard, `http://head:8265`.

    Raises:
        PreflightError: nobody answers there, or not without a token.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.ERROR)
        os.environ["RAY_API_SERVER_ADDRESS"] = address  # else RAY_ADDRESS counts more than what is said here
        with self._asked(PreflightError):
            try:
                self._client = JobSubmissionClient(address)
            except (KeyError, TypeError, ValueError):
                raise RuntimeError("what answers is not the dashboard of Ray's head") from None

    def attempts(self, name: str) -> list[Job]:
        """The jobs that are called `NAME-1`, `NAME-2`, …, in that order."""
        with self._asked(RunError):
            found = [one for one in self._client.list_jobs() if attempt_of(one.submission_id, name)]
        return [_job(one) for one in sorted(found, key=lambda one: attempt_of(one.submission_id, name))]

    def of(self, run: str) -> list[Job]:
        """All jobs of a sweep, whatever its spec was, or the one of that id; those that run at the end."""
        with self._asked(RunError):
            jobs = [one for one in self._client.list_jobs() if is_of(one.submission_id or "", run)]
        found = [_job(one) for one in sorted(jobs, key=lambda one: one.start_time or 0)]
        return sorted(found, key=lambda one: not one.has_ended)

    def submit(
        self, job_id: str, entrypoint: str, runtime_env: dict[str, Any], metadata: dict[str, str]
    ) -> None:
        """Submit a job, unless somebody else has submitted one of this id just now.

        Args:
            job_id, entrypoint, runtime_env: of the job.
            metadata: shown on the job's page of Ray's dashboard.
        """
        with self._asked(RunError):
            for _ in range(TRIES):
                try:
                    self._client.submit_job(
                        submission_id=job_id,
                        entrypoint=entrypoint,
                        runtime_env=runtime_env,
                        metadata=metadata,
                    )
                except RuntimeError as error:
                    if "already exists" in str(error):
                        return
                    if "No available agent" not in str(error):
                        raise
                    time.sleep(POLL_SECONDS)  # the cluster has just begun
                else:
                    return
        raise RunError(f"{self._address} has no node that takes jobs")

    def get(self, job_id: str) -> Job:
        """How a job stands."""
        with self._asked(RunError):
            return _job(self._client.get_job_info(job_id))

    def logs(self, job_id: str) -> str:
        """All that a job has said so far."""
        with self._asked(RunError):
            return str(self._client.get_job_logs(job_id))

    def stop(self, job_id: str) -> None:
        """Send a job SIGTERM."""
        with self._asked(RunError):
            self._client.stop_job(job_id)

    def follow(self, job_id: str, tell: Callable[[str], None]) -> Job:
        """Tell what a job says until it ends, over connections that break.

        Raises:
            RunError: the head has not answered for ten minutes.
        """
        said, answered, is_away = Said(tell), time.monotonic(), False
        while True:
            is_whole = self._tail(job_id, said)
            try:
                job = self.get(job_id)
                if job.has_ended:
                    if not is_whole:
                        said.begin()
                        said.hear(self.logs(job_id))
                    return job
                answered, is_away = time.monotonic(), False
            except RunError as error:
                if time.monotonic() - answered > AWAY_SECONDS:
                    raise RunError(f"{self._address} does not answer any more: {error}") from None
                if not is_away:
                    logger.warning("%s; waiting for it, %s at most", error, duration(AWAY_SECONDS))
                is_away = True
            time.sleep(POLL_SECONDS)

    def _tail(self, job_id: str, said: Said) -> bool:
        """Tell what a job says while one connection lasts; whether that was to its end.

        Raises:
            BrokenPipeError: nobody reads what is told.
        """

        async def listen() -> None:
            said.begin()
            stream: AsyncIterator[str] = self._client.tail_job_logs(job_id)
            async for text in stream:
                said.hear(text)

        try:
            asyncio.run(listen())
        except BrokenPipeError:
            raise
        except (RuntimeError, aiohttp.ClientError, OSError):
            return False
        return True

    @contextmanager
    def _asked(self, error: type[PreflightError | RunError]) -> Iterator[None]:
        try:
            yield
        except AuthenticationError as refused:
            words = str(refused).strip().splitlines()
            raise PreflightError(
                f"{self._address} wants its cluster's token (RAY_AUTH_MODE=token with RAY_AUTH_TOKEN or "
                f"RAY_AUTH_TOKEN_PATH): {words[0] if words else 'refused'}"
            ) from None
        except (OSError, RuntimeError, ValueError) as away:
            words = [line for line in str(away).splitlines() if line.strip(" .")]
            raise error(f"{self._address}: {words[-1].strip() if words else type(away).__name__}") from None


def is_of(submission_id: str, run: str) -> bool:
    """Whether a job is that of a sweep's name, or has that id: `breakout-0123456789ab-1` is of `breakout`."""
    return (
        submission_id == run
        or re.fullmatch(rf"{re.escape(run)}-[0-9a-f]{{12}}-\d+", submission_id) is not None
    )


def attempt_of(submission_id: str | None, name: str) -> int:
    """`NAME-2` -> 2; 0 for a job of another name."""
    head, _, number = (submission_id or "").rpartition("-")
    return int(number) if head == name and number.isdecimal() else 0


def _job(details: JobDetails) -> Job:
    words = (details.message or "").partition(", last available logs")[0].strip()  # those were shown
    kind = str(details.error_type or "").rpartition(".")[2]
    return Job(details.submission_id or "", str(details.status), details.driver_exit_code, words, kind)
