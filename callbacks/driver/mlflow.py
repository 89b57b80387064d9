"""MLflow tracking of a sweep while it runs.

Ours instead of Ray's MLflowLoggerCallback, which sends one request per metric, makes new runs after a
restore, takes the iteration for the x-axis, and ends the sweep when the server is away. Here the driver only
notes which trials have news. A thread reads the histories and sends what MLflow does not have, so a server
that is slow or away costs the sweep nothing, and what it missed is sent when it is back.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from ray.tune import Callback
from requests.exceptions import RequestException
from sqlalchemy.exc import SQLAlchemyError

from callbacks.driver.projection import FINISHED, KILLED, Projection, TrackedSweep, TrackedTrial
from rlsweep.store.credentials import without_credentials

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0
"""Between two looks at what is new."""

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 300.0
"""After a failure nothing is sent for the first, after each further one for twice as long."""

LAST_SECONDS = 30.0
"""How long the end of a sweep waits for what is not sent yet."""

MLFLOW_ERRORS = (MlflowException, RequestException, SQLAlchemyError, OSError)
"""What MLflow's client raises, over HTTP and on a database."""

NEVER_BEGUN = KILLED
"""What MLflow is told of a trial that has no rows and did not fail."""

_NO_ANSWER = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")

_CLIENT_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""MLflow's own are 7 retries, 120 s, a bar for each artifact, and two links on stdout for each run of a
server that ends. The environment can say otherwise."""


def answer_soon() -> None:
    """Let MLflow's client say soon that a server does not answer, unless the environment says otherwise."""
    for name, value in _CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)


def is_away(error: Exception) -> bool:
    """Whether the store did not answer at all, so that the next request would fail like this one."""
    if isinstance(error, MlflowException):
        return error.error_code in _NO_ANSWER
    return isinstance(error, (RequestException, SQLAlchemyError))


class Keep(Protocol):
    """Keeps the ids of runs: of the parent, and of trials by their ids."""

    def __call__(self, parent_run_id: str, run_ids: Mapping[str, str], *, is_whole: bool) -> None: ...


class MLflowTracker(Callback):
    """Keeps an MLflow store in line with a sweep that runs; the sweep never waits for it.

    Args:
        sweep: what to show.
        tracking_uri: gives that of the store, which may hold a password: Tune pickles its callbacks into the
            run folder.
        describe: trial id -> what to show of it now; called in the thread.
        keep: called at the end with the run ids.

    Attributes:
        is_whole: the store has all of the sweep; known at its end.
    """

    def __init__(
        self,
        sweep: TrackedSweep,
        tracking_uri: Callable[[], str],
        describe: Callable[[str], TrackedTrial],
        keep: Keep,
    ) -> None:
        self._sweep, self._tracking_uri = sweep, tracking_uri
        self._describe, self._keep = describe, keep

    def setup(
        self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **info: Any
    ) -> None:
        # Not in the constructor: Tune pickles its callbacks before the sweep starts.
        answer_soon()
        self._projection = Projection(self._sweep, self._tracking_uri())
        self._news: set[str] = set()
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._system: SystemMetricsMonitor | None = None
        self.is_whole = False
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._running.add(str(trial))
        self._note(str(trial))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._note(str(trial))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._running.discard(str(trial))
        self._note(str(trial))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._running.discard(str(trial))
        self._note(str(trial))

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        has_ended = not self._running and all(trial.status == "TERMINATED" for trial in trials)
        self._status = FINISHED if has_ended else KILLED
        for trial_id in self._running:  # Ctrl-C: Tune leaves without a word on them
            self._note(trial_id)
        self._ends.set()
        self._thread.join(LAST_SECONDS)
        self._keep(self._projection.parent_run_id, self._projection.run_ids, is_whole=self.is_whole)
        if not self.is_whole:
            logger.warning(
                "MLflow does not have all of this sweep; when it answers: rlsweep sync %s", self._sweep.name
            )

    def _note(self, trial_id: str) -> None:
        with self._lock:
            self._news.add(trial_id)

    def _work(self) -> None:
        """The thread: until the sweep ends, and once more then."""
        pause, has_warned = 0.0, False
        ends = False
        while not ends:
            ends = self._ends.wait(pause or INTERVAL_SECONDS)
            try:
                self._projection.open()
                self._watch_system()
                self._send_news()
                if ends:
                    if self._system is not None:
                        self._system.finish()
                    self._projection.end(self._status)
                    self.is_whole = True
                pause = 0.0
            except Exception as error:  # whatever it is, the sweep does without MLflow, and sync tells later
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS) or FIRST_PAUSE_SECONDS
                if not has_warned:
                    has_warned = True
                    reason = without_credentials(f"{type(error).__name__}: {error}")
                    logger.warning("MLflow is not told, the sweep goes on without it: %s", reason)

    def _watch_system(self) -> None:
        """MLflow's monitor ends by itself where a server is away, or with the parent run."""
        if self._sweep.system_metrics and self._system is None:
            self._system = SystemMetricsMonitor(
                self._projection.parent_run_id, resume_logging=True, tracking_uri=self._tracking_uri()
            )
            self._system.start()

    def _send_news(self) -> None:
        """Bring every trial with news in line; one that cannot be brought keeps no other from it."""
        with self._lock:
            news, self._news = self._news, set()
        failures: list[Exception] = []
        for trial_id in sorted(news):
            try:
                if not (failures and is_away(failures[-1])):
                    trial = self._describe(trial_id)
                    if trial.status != NEVER_BEGUN or trial.history.exists():
                        self._projection.bring(trial)
                    continue
            except Exception as error:  # the first one is raised once all others are told
                failures.append(error)
            self._note(trial_id)
        if failures:
            raise failures[0]
