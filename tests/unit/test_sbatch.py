"""docker/slurm/sweep.sbatch, run by bash, with programs of this test in place of Slurm's, Ray's and ours."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.scripts.scripts import start
from waiting import wait_until

SCRIPT = Path(__file__).parents[2] / "docker" / "slurm" / "sweep.sbatch"
JOB = str(10**8 + os.getpid())
"""Its folder in /tmp is no other test's."""

PROGRAMS = {
    # A step: its tasks are a group of processes. SIGTERM to srun itself is SIGKILL to them.
    "srun": """while [ "${1#--}" != "$1" ]; do shift; done
        setsid "$@" & step=$!
        touch "$SEEN/step-$step"
        trap 'kill -KILL -- "-$step"' TERM
        wait "$step" || wait "$step" || true""",
    "scancel": """[ "$*" = "--signal=TERM $SLURM_JOB_ID" ] || exit 1  # without --batch: steps alone
        for step in "$SEEN"/step-*; do kill -TERM -- "-${step##*-}"; done""",
    "getent": 'for address in $ADDRESSES; do echo "$address STREAM $2"; done',
    "hostname": 'echo "fd00::1 192.0.2.9 192.0.2.10 "',
    "scontrol": """case $1 in
        show) echo localhost; [ "$NODES" = 1 ] || echo other;;
        *) echo "$@" >> "$SEEN/slurm";;
    esac""",
    # `python - NODES` waits for so many nodes
    "python": 'cat > /dev/null; until [ "$(ls "$SEEN" | grep -c ^ray-)" -ge "$2" ]; do sleep 0.05; done',
    "ray": """case $1 in
        health-check) ls "$SEEN" | grep -q ^ray-;;
        start)
            stat -c %a "$RAY_AUTH_TOKEN_PATH" "/tmp/rlsweep-$SLURM_JOB_ID" >> "$SEEN/modes"
            cp "$RAY_AUTH_TOKEN_PATH" "$SEEN/token"
            shift; echo "$@" > "$SEEN/starts-$$"; mv "$SEEN/starts-$$" "$SEEN/ray-$$"
            exec sleep 600 > /dev/null 2>&1;;
    esac""",
    "rlsweep": """trap 'echo USR1 >> "$SEEN/signals"; exit 143' USR1
        trap 'echo TERM >> "$SEEN/signals"; exit 143' TERM
        env > "$SEEN/environment"; echo "$@" > "$SEEN/new"; mv "$SEEN/new" "$SEEN/rlsweep"
        [ -z "$CODE" ] || exit "$CODE"; for _ in $(seq 600); do sleep 0.1; done""",
}

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    folder = tmp_path / "seen"
    folder.mkdir()
    return folder


@pytest.fixture
def run(tmp_path: Path, seen: Path) -> Start:
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)

    def started(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        known = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "SEEN": str(seen),
            "NODES": "1",
            "CODE": "",
            "ADDRESSES": "192.0.2.7 192.0.2.8",
        }
        slurm = {"SLURM_JOB_ID": JOB, "SLURM_JOB_NODELIST": "localhost", "SLURM_CPUS_PER_TASK": "2"}
        return subprocess.Popen(
            ["bash", SCRIPT, *arguments],
            env={**known, **slurm, "RLSWEEP_VENV": str(tmp_path / "venv"), **environment},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return started


@pytest.mark.parametrize("code", [0, 2, 3, 4, 143])
def test_it_ends_as_the_sweep_does_and_leaves_nothing(
    run: Start, seen: Path, tmp_path: Path, code: int
) -> None:
    process = run("breakout_lr.yaml", "--profile", "smoke", CODE=str(code))
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    assert (seen / "rlsweep").read_text() == "run breakout_lr.yaml --profile smoke\n"
    assert set((seen / "modes").read_text().split()) == {"600", "700"}, "the token, and Ray's files"
    assert re.fullmatch("[0-9a-f]{64}", (seen / "token").read_text())
    assert not (tmp_path / ".rlsweep" / f"slurm-{JOB}").exists()
    assert not Path(f"/tmp/rlsweep-{JOB}").exists()
    assert not (seen / "slurm").exists(), "it was not the time limit"


def test_before_the_time_limit_it_is_queued_again(run: Start, seen: Path) -> None:
    process = run("breakout_lr.yaml")
    wait_until((seen / "rlsweep").exists, process)
    process.send_signal(signal.SIGUSR1)
    process.send_signal(signal.SIGUSR1)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 143, output
    assert (seen / "signals").read_text() == "USR1\n", "a second one would end the sweep at once"
    assert (seen / "slurm").read_text() == f"requeue {JOB}\n"
    assert "queued again" in output


def test_a_cancelled_job_stays_cancelled(run: Start, seen: Path) -> None:
    process = run("breakout_lr.yaml")
    wait_until((seen / "rlsweep").exists, process)
    process.terminate()
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 143, output
    assert (seen / "signals").read_text() == "TERM\n"
    assert not (seen / "slurm").exists()


def test_ray_starts_on_every_node(run: Start, seen: Path) -> None:
    process = run("breakout_lr.yaml", CODE="0", NODES="2")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    head, worker = sorted(
        (path.read_text().split() for path in seen.glob("ray-*")), key=lambda one: "--head" not in one
    )
    first = start.make_context("start", head).params
    assert first["node_ip_address"] == "192.0.2.7"
    assert first["dashboard_host"] == "127.0.0.1"
    second = start.make_context("start", worker).params
    assert second["address"] == f"{first['node_ip_address']}:{first['port']}"
    environment = dict(line.partition("=")[::2] for line in (seen / "environment").read_text().splitlines())
    assert environment["RAY_ADDRESS"] == second["address"]
    assert environment["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH_TOKEN" not in environment


@pytest.mark.parametrize("addresses", ["127.0.1.1", "127.0.0.1 127.0.1.1", ""])
def test_no_other_node_is_sent_to_its_own_loopback(run: Start, seen: Path, addresses: str) -> None:
    process = run("breakout_lr.yaml", CODE="0", ADDRESSES=addresses)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    (head,) = (path.read_text().split() for path in seen.glob("ray-*"))
    assert start.make_context("start", head).params["node_ip_address"] == "192.0.2.9"


def test_slurm_is_asked_for_what_the_script_relies_on() -> None:
    text = SCRIPT.read_text("utf-8")
    asked = set(re.findall(r"^#SBATCH (\S+)", text, re.MULTILINE))
    assert {"--signal=B:USR1@180", "--requeue", "--open-mode=append", "--ntasks-per-node=1"} <= asked
    assert stat.S_IMODE(SCRIPT.stat().st_mode) & 0o111 == 0, "sbatch reads it, nobody runs it"
