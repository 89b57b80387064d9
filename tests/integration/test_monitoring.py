"""What Prometheus reads of a sweep while it runs, at the addresses that a real Ray head names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ray_head import TOKEN, RayHead, ray_head
from waiting import wait_until

from callbacks.driver.gauges import GAUGES, STATES

ROOT = Path(__file__).parents[2]
MAIN = "from rlsweep.cli import main; main()"

Values = dict[str, float]
"""Name and, for trials, state -> value."""


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    with ray_head() as one:
        yield one


def read(url: str, token: str = "") -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        return str(answer.read().decode())


def scrape(head: RayHead) -> Values:
    """The gauges of all sweeps, as Prometheus would read them."""
    found: Values = {}
    groups = json.loads(read(f"{head.dashboard}/api/prometheus/sd", TOKEN))
    for target in (one for group in groups for one in group["targets"]):
        try:
            text = read(f"http://{target}/metrics")
        except OSError:  # Ray's autoscaler is named before it listens
            continue
        for sample in (one for family in text_string_to_metric_families(text) for one in family.samples):
            if sample.name.startswith("ray_rlsweep_"):
                assert sample.labels["sweep"] == "cartpole_ppo"
                parts = (sample.name.removeprefix("ray_"), sample.labels.get("state", ""))
                found[" ".join(filter(None, parts))] = sample.value
    return found


def said_by(storage: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *arguments],
        env={**os.environ, "RLSWEEP_STORAGE": str(storage)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_gauges_follow_a_sweep_and_end_with_it(head: RayHead, tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = ["run", "cartpole_ppo.yaml", "--profile", "smoke", "--set", "stop.env_steps=100M"]
    with log.open("w") as stream:
        sweep = subprocess.Popen(
            [sys.executable, "-c", MAIN, *run],
            env={**head.environment, "RAY_ADDRESS": head.address, "RLSWEEP_STORAGE": str(tmp_path)},
            cwd=ROOT,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    scrapes: list[Values] = [{}]

    def all_are_there() -> bool:
        scrapes.append(scrape(head))
        return {name.split()[0] for name in scrapes[-1]} == {*GAUGES}

    def have_been_interrupted() -> bool:
        scrapes.append(scrape(head))
        return scrapes[-1].get("rlsweep_trials interrupted") == 2

    def nobody_is_there() -> bool:
        return sweep.poll() is not None and not scrape(head)

    try:
        wait_until(all_are_there, sweep, log)
        assert scrapes[-1]["rlsweep_trials running"] > 0
        assert scrapes[-1]["rlsweep_env_steps_per_second"] > 0
    finally:
        sweep.terminate()
    wait_until(have_been_interrupted, log=log)
    wait_until(nobody_is_there, log=log)
    assert sweep.returncode == 143, log.read_text()

    last = scrapes[-1]
    (status,) = json.loads(said_by(tmp_path, "status", "cartpole_ppo", "--json"))
    assert status["counts"] == {"interrupted": 2}
    for state in STATES:
        assert last[f"rlsweep_trials {state}"] == status["counts"].get(state, 0)
    assert last["rlsweep_env_steps"] == sum(trial["env_steps"] for trial in status["trials"])
    assert last["rlsweep_env_steps_per_second"] == last["rlsweep_gpu_hours"] == 0
    said_by(tmp_path, "report", "cartpole_ppo")
    report = json.loads((tmp_path / "cartpole_ppo" / "report" / "summary.json").read_text("utf-8"))
    assert last["rlsweep_best_score"] == max(one["mean"] for one in report["configurations"])
