"""Who listens on the ports that the MLflow UI and Ray take, and whether other machines reach it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

import psutil

from rlsweep.run.doctor_finding import Finding, Level

SUBJECT = "ports"


@dataclass(frozen=True)
class Port:
    """A port that somebody of ours listens on by default.

    Attributes:
        number: of the port.
        use: who takes it.
        elsewhere: what to do where another program has it.
        closed: what keeps other machines out.
    """

    number: int
    use: str
    elsewhere: str
    closed: str


PORTS = (
    Port(5000, "the UI of `make ui`", "make ui PORT=5001", "`make ui` listens on 127.0.0.1 alone"),
    Port(
        6379,
        "`ray start --head`",
        "ray start --head --port=6380",
        "keep the network closed, or let Ray ask for a token: RAY_AUTH_MODE=token",
    ),
    Port(
        8265,
        "Ray's dashboard",
        "`ray start --head --dashboard-port=8266`; a Ray of `rlsweep run` takes the next port by itself",
        "ray start --head --dashboard-host=127.0.0.1",
    ),
)


@dataclass(frozen=True)
class Listener:
    """A socket that listens.

    Attributes:
        port: its number.
        address: an IPv4 or IPv6 address.
        pid: who listens; 0 where that is another user's and cannot be seen.
        name: of that process.
    """

    port: int
    address: str
    pid: int = 0
    name: str = ""

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        address = ip_address(self.address)
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            return address.ipv4_mapped.is_loopback
        return address.is_loopback


def port_findings(ports: Sequence[Port] = PORTS) -> list[Finding]:
    """Look who listens on each of the ports.

    Raises:
        psutil.AccessDenied: this system shows nobody's sockets to this user (macOS).
    """
    return judge_ports(ports, read_listeners())


def read_listeners() -> list[Listener]:
    """Every TCP socket of this machine that listens."""
    return [
        Listener(one.laddr.port, one.laddr.ip, one.pid or 0, _name(one.pid))
        for one in psutil.net_connections(kind="tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr
    ]


def judge_ports(ports: Sequence[Port], listeners: Sequence[Listener]) -> list[Finding]:
    """One finding for all ports that are free, one for each that is not."""
    by_port = {port: [one for one in listeners if one.port == port.number] for port in ports}
    free = [f"{port.number} ({port.use})" for port, found in by_port.items() if not found]
    taken = [_taken(port, found) for port, found in by_port.items() if found]
    return [*([Finding(Level.OK, SUBJECT, f"free: {', '.join(free)}")] if free else []), *taken]


def _taken(port: Port, listeners: Sequence[Listener]) -> Finding:
    who = ", ".join(dict.fromkeys(map(_who, listeners)))
    where = ", ".join(sorted({one.address for one in listeners}))
    text = f"port {port.number} ({port.use}): {who} listens on {where}"
    pids = " ".join(str(pid) for pid in sorted({one.pid for one in listeners if one.pid}))
    end = f"end it (kill {pids})" if pids else "end it"
    if all(one.is_local for one in listeners):
        remedy = f"nothing, if that is what you want there; otherwise {end}, or: {port.elsewhere}"
        return Finding(Level.NOTE, SUBJECT, text, remedy)
    remedy = f"{end}, unless you trust everybody on that network; {port.closed}"
    return Finding(Level.WARNING, SUBJECT, f"{text}: other machines reach it", remedy)


def _who(listener: Listener) -> str:
    return f"{listener.name} (pid {listener.pid})" if listener.pid else "a process of another user"


def _name(pid: int | None) -> str:
    try:
        return psutil.Process(pid).name() if pid else ""
    except psutil.Error:  # it has ended since
        return "a process"
