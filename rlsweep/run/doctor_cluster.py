"""Whether the cluster of RAY_ADDRESS answers, and what it has; asked for in a process of its own.

Ray's client waits for 40 seconds for a head that is away and cannot be told otherwise: that process is ended
sooner. Nothing is started: neither a Ray of this machine, nor a job on the cluster.
"""

from __future__ import annotations

import json
import platform
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from rlsweep.plan.packing import Node
from rlsweep.run.doctor_finding import Finding, Level, counted
from rlsweep.run.heads import CLIENT

SUBJECT = "cluster"

CONNECT_SECONDS = 3.0

ANSWER_SECONDS = 6.0
"""For importing Ray, half a second to some seconds, and for the answer."""


@dataclass(frozen=True)
class ClusterFacts:
    """What the head of a cluster says.

    Attributes:
        nodes: those that live.
        ray, python: its versions; empty where it does not say.
    """

    nodes: tuple[Node, ...]
    ray: str
    python: str


def cluster_findings(address: str | None, ray_version: str) -> list[Finding]:
    """Look for the cluster that the next sweep would run on.

    Args:
        address: RAY_ADDRESS; None where it is not set.
        ray_version: of the Ray that is installed here.
    """
    if address is None or address.strip() in ("", "local"):
        return [Finding(Level.OK, SUBJECT, "RAY_ADDRESS is not set: `rlsweep run` starts a Ray of its own")]
    if address != "auto" and (failure := _connect(address)):
        remedy = "start the cluster, mend the address, or: unset RAY_ADDRESS"
        return [Finding(Level.PROBLEM, SUBJECT, f"RAY_ADDRESS={address}: {failure}", remedy)]
    if address.startswith(CLIENT):
        text = f"RAY_ADDRESS={address} listens; it is Ray's client server, which does not say what it has"
        remedy = "take the address of the head itself, HOST:6379, from a machine of the cluster"
        return [Finding(Level.NOTE, SUBJECT, text, remedy)]
    try:
        facts, failure = _ask(address)
    except subprocess.TimeoutExpired:
        text = f"RAY_ADDRESS={address} listens, but has said nothing of Ray within {ANSWER_SECONDS:g} s"
        return [Finding(Level.WARNING, SUBJECT, text, f"ray status --address {address}")]
    return judge_answer(address, facts, failure, ray_version)


def judge_answer(address: str, facts: ClusterFacts | None, failure: str, ray_version: str) -> list[Finding]:
    """What the head has said, or why it has not.

    Args:
        address: of the head.
        facts: None where it has not answered.
        failure: what it wrote to stderr then.
        ray_version: of the Ray that is installed here.
    """
    place = f"the cluster of RAY_ADDRESS={address}"
    if facts is None and "AuthenticationError" in failure:
        remedy = "export RAY_AUTH_MODE=token, with the head's ~/.ray/auth_token in ~/.ray here"
        return [Finding(Level.PROBLEM, SUBJECT, f"{place} asks for a token", remedy)]
    if facts is None:
        remedy = f"ray status --address {address}; or unset RAY_ADDRESS to run on this machine"
        text = f"{place} does not answer: {failure.strip().splitlines()[-1]}"
        return [Finding(Level.PROBLEM, SUBJECT, text, remedy)]
    return [_has(place, facts.nodes), *_differs(place, facts, ray_version)]


def _has(place: str, nodes: Sequence[Node]) -> Finding:
    if not nodes:
        remedy = "start Ray on its machines: ray start --address=…"
        return Finding(Level.PROBLEM, SUBJECT, f"{place} has no living node", remedy)
    cpus, gpus = (sum(one.resources.get(kind, 0) for one in nodes) for kind in ("CPU", "GPU"))
    each = ", ".join(f"{one.name} ({one.resources.get('CPU', 0):g} CPUs)" for one in nodes[:8])
    text = f"{place} answers: {counted(len(nodes), 'node')}, {cpus:g} CPUs, {gpus:g} GPUs: {each}"
    return Finding(Level.OK, SUBJECT, text + (" …" if len(nodes) > 8 else ""))


def _differs(place: str, facts: ClusterFacts, ray_version: str) -> list[Finding]:
    pairs = (("Ray", facts.ray, ray_version), ("Python", facts.python, platform.python_version()))
    return [
        Finding(
            Level.PROBLEM,
            SUBJECT,
            f"{place} runs {name} {there}, this machine {here}; Ray wants the same on both",
            f"install {name} {there} here, or {here} there",
        )
        for name, there, here in pairs
        if there and there != here
    ]


def _connect(address: str) -> str:
    """Why nobody can be reached there; empty where somebody can."""
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
            return ""
    except (ValueError, OverflowError):
        return "that is no HOST:PORT"
    except TimeoutError:
        return f"nobody answers within {CONNECT_SECONDS:g} s"
    except OSError as error:
        return error.strerror or str(error)


def _ask(address: str) -> tuple[ClusterFacts | None, str]:
    command = [sys.executable, "-m", "rlsweep.run.doctor_cluster", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS)
    if done.returncode != 0:
        return None, done.stderr.strip() or f"exit code {done.returncode}"
    return TypeAdapter(ClusterFacts).validate_json(done.stdout.strip().splitlines()[-1]), ""


def _tell(address: str) -> None:
    """What the head says, as JSON; as `ray.init` would, without becoming a job of the cluster."""
    from ray._common.usage.usage_lib import get_cluster_metadata
    from ray._private.authentication import authentication_token_setup as token
    from ray._private.services import canonicalize_bootstrap_address_or_die
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # its stub leaves it out
    from ray.core.generated.gcs_pb2 import GcsNodeInfo

    if address == "auto":  # as `ray.init`: with an explicit address the environment alone decides
        token.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    client = GcsClient(address=canonicalize_bootstrap_address_or_die(address))
    alive = [one for one in client.get_all_node_info().values() if one.state == GcsNodeInfo.ALIVE]
    nodes: list[dict[str, Any]] = [
        {"name": one.node_manager_hostname, "resources": dict(one.resources_total)} for one in alive
    ]
    versions = get_cluster_metadata(client) or {}
    facts = {"ray": versions.get("ray_version", ""), "python": versions.get("python_version", "")}
    print(json.dumps({"nodes": nodes, **facts}))


if __name__ == "__main__":
    _tell(sys.argv[1])
