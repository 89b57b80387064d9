"""Which processes of Ray a driver has left behind, and which sweeps and MLflow servers run.

How a leftover is told. A raylet starts agents and workers: one without a raylet above it has lost its own.
Whoever begins a session starts its raylet, GCS, dashboard and monitors, and stays their parent: a driver,
or `ray start --block`. Without such a parent they are left behind, unless `ray start` made them, which ends
as soon as they run. It is known by what no driver does: it gives workers a range of ports, joins another
head, or writes its address into `ray_current_cluster`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path

from rlsweep.run.doctor_finding import Finding, Level, counted, size_text
from rlsweep.run.doctor_process_facts import ProcessFacts, read_processes, starter_pid
from rlsweep.spec.quantities import duration
from rlsweep.store.credentials import without_credentials

SUBJECT = "processes"
MAX_NAMED = 6
"""Leftovers of one session that are described; the `kill` command has them all."""

Processes = Mapping[int, ProcessFacts]


def process_findings(ray_folder: Path) -> list[Finding]:
    """What runs on this machine for this user.

    Args:
        ray_folder: Ray's temp folder, in which `ray start` writes its address.
    """
    address = ray_folder / "ray_current_cluster"
    return judge_processes(read_processes(), address.read_text("utf-8").strip() if address.is_file() else "")


def judge_processes(processes: Processes, started_address: str = "") -> list[Finding]:
    """Leftovers, clusters of `ray start`, drivers with their Ray, sweeps and MLflow servers.

    Args:
        processes: every process of the machine, by pid.
        started_address: that the last `ray start` has left, `192.0.2.2:6379`; empty for none.
    """
    of_ray = [one for one in processes.values() if one.is_own and _is_ray(one)]
    clusters = {one.session for one in of_ray if _is_of_ray_start(one, processes, started_address)}
    left = [one for one in of_ray if _is_left(one, processes, clusters)]
    rest = [one for one in of_ray if one not in left]
    findings = [
        *(_leftover(session, members, processes) for session, members in _by_session(left)),
        *(_living(session, members, clusters, processes) for session, members in _by_session(rest)),
        *(_running("a sweep runs", one) for one in _tops(processes, _is_sweep)),
        *(_running("an MLflow server runs", one) for one in _tops(processes, _is_mlflow_server)),
    ]
    nothing = Finding(
        Level.OK, SUBJECT, "no process of Ray, no sweep and no MLflow server runs for this user"
    )
    return findings or [nothing]


def _is_ray(process: ProcessFacts) -> bool:
    return process.is_started_by_raylet or process.is_started_with_session


def _is_left(process: ProcessFacts, processes: Processes, clusters: set[str]) -> bool:
    if process.is_started_by_raylet:
        return not any(one.ray_name == "raylet" for one in _ancestors(process, processes))
    return not _has_starter(process, processes) and process.session not in clusters


def _ancestors(process: ProcessFacts, processes: Processes) -> Iterator[ProcessFacts]:
    seen = {process.pid}
    while (parent := processes.get(process.parent_pid)) and parent.pid not in seen:
        seen.add(parent.pid)
        yield parent
        process = parent


def _has_starter(process: ProcessFacts, processes: Processes) -> bool:
    """Whether its parent began the session; the name of one in a container has a pid that is none here."""
    parent = processes.get(process.parent_pid)
    if parent is None or parent.pid == starter_pid(process.session):
        return parent is not None
    return parent.is_python and parent.pid != 1


def _is_of_ray_start(process: ProcessFacts, processes: Processes, started_address: str) -> bool:
    if not process.is_started_with_session or _has_starter(process, processes):
        return False
    if started_address and process.argument("gcs-address") == started_address:
        return True
    is_head, first_port = "--head" in process.command, process.argument("min_worker_port")
    return process.ray_name == "raylet" and (not is_head or first_port not in ("", "0"))


def _by_session(processes: Sequence[ProcessFacts]) -> Iterator[tuple[str, list[ProcessFacts]]]:
    ordered = sorted(processes, key=lambda one: (one.session, one.pid))
    return ((session, list(members)) for session, members in groupby(ordered, lambda one: one.session))


def _leftover(session: str, members: list[ProcessFacts], processes: Processes) -> Finding:
    described = [
        f"{one.ray_name} (pid {one.pid}, {duration(one.age_seconds)} old, {size_text(one.memory_bytes)})"
        for one in members[:MAX_NAMED]
    ]
    more = [f"{len(members) - MAX_NAMED} more"] if len(members) > MAX_NAMED else []
    pid = starter_pid(session)
    gone = f"the driver that started them (pid {pid})" if pid and pid not in processes else "their raylet"
    text = f"left behind, {gone} is gone: {', '.join([*described, *more])}"
    pids = " ".join(str(one.pid) for one in members)
    if any(one.is_started_with_session for one in members):
        return Finding(Level.WARNING, SUBJECT, text, f"kill -9 {pids}")
    hint = "wait: Ray's agents leave by themselves within 2 minutes of their driver's end"
    return Finding(Level.WARNING, SUBJECT, text, f"{hint}; what stays (they ignore SIGTERM): kill -9 {pids}")


def _living(session: str, members: list[ProcessFacts], clusters: set[str], processes: Processes) -> Finding:
    what = f"{counted(len(members), 'process')}, {size_text(sum(one.memory_bytes for one in members))}"
    if session in clusters:
        text = f"a Ray cluster that `ray start` made runs ({what}, {session}): wanted, no leftover"
        remedy = "nothing while somebody uses it; `ray stop` ends it, and every other Ray of yours here"
        return Finding(Level.NOTE, SUBJECT, text, remedy)
    started = (one for one in members if one.is_started_with_session)
    driver = next((processes[one.parent_pid] for one in started if one.parent_pid in processes), None)
    whose = f"pid {driver.pid}, {_words(driver)}" if driver else session
    return Finding(Level.OK, SUBJECT, f"Ray of a driver that runs ({whose}): {what}")


def _tops(processes: Processes, is_such: Callable[[ProcessFacts], bool]) -> list[ProcessFacts]:
    """Of this user's, without those that one of them has started."""
    found = {one.pid for one in processes.values() if one.is_own and is_such(one)}
    return [processes[pid] for pid in sorted(found) if processes[pid].parent_pid not in found]


def _is_sweep(process: ProcessFacts) -> bool:
    """`rlsweep run`, `python …/rlsweep run`, `python -c "from rlsweep.cli …" run`."""
    pairs = pairwise(process.command[:4])
    return any(
        after == "run" and (Path(one).name == "rlsweep" or "rlsweep.cli" in one) for one, after in pairs
    )


def _is_mlflow_server(process: ProcessFacts) -> bool:
    if any(one.startswith("mlflow.server") for one in process.command):
        return True
    is_mlflow = any(Path(one).name == "mlflow" for one in process.command[:3])
    return is_mlflow and bool({"server", "ui"} & set(process.command))


def _running(what: str, process: ProcessFacts) -> Finding:
    details = f"pid {process.pid}, {duration(process.age_seconds)} old, {size_text(process.memory_bytes)}"
    return Finding(Level.OK, SUBJECT, f"{what} ({details}): {_words(process)}")


def _words(process: ProcessFacts, most: int = 90) -> str:
    command = without_credentials(" ".join([Path(process.title).name, *process.command[1:]]))
    return command if len(command) <= most else f"{command[: most - 1]}…"
