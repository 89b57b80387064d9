"""Sweeps as jobs of a real Ray head with a token: submitted twice, lost, stopped; who gets to see what."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from loopback import free_port
from ray_head import TOKEN, ray_head
from waiting import wait_until

from rlsweep.store.layout import RunLayout, Storage

ROOT = Path(__file__).parents[2]
SETTINGS = ["--profile", "smoke", "--set", "stop.env_steps=10M", "--set", "checkpoints.every=2000"]


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    """A cluster; the environment that leads to it."""
    with ray_head() as one:
        own = {"RAY_ADDRESS": one.dashboard, "HEAD_FOLDER": str(one.folder), "HEAD_ADDRESS": one.address}
        yield {**one.environment, **own}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a user has on a laptop: specs, runs, and secrets."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "sweeps", folder / "sweeps")
    shutil.copytree(ROOT / "search_spaces", folder / "search_spaces")
    (folder / ".env").write_text("AWS_SECRET_ACCESS_KEY=canary-of-env")
    (folder / "runs").mkdir()
    (folder / "runs" / "old.json").write_text("canary-of-runs")
    (folder / "private.key").write_text("canary-of-keys")
    (folder / ".rayignore").write_text("notes.txt\n")
    (folder / "notes.txt").write_text("canary-of-notes")
    return folder


def rlsweep(head: dict[str, str], project: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    storage = str(project.parent / "storage")
    return subprocess.Popen(
        [sys.executable, "-c", "from rlsweep.cli import main; main()", *arguments],
        cwd=project,
        env={**head, "RLSWEEP_STORAGE": storage, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(process: subprocess.Popen[str], code: int = 0) -> str:
    text, _ = process.communicate(timeout=600)
    assert process.returncode == code, text
    assert "Traceback" not in text
    return text


def drivers(storage: Path) -> list[psutil.Process]:
    """The processes that jobs run, not those that submit and follow them."""
    found = []
    for process in psutil.process_iter():
        try:
            line, variables = process.cmdline(), process.environ()
        except psutil.Error:
            continue
        is_here = variables.get("RLSWEEP_STORAGE") == str(storage)
        is_client = variables.get("RAY_ADDRESS", "").startswith("http")
        if is_here and not is_client and {"run", "sweeps/cartpole_ppo.yaml"} <= {*line}:
            found.append(process)
    return found


def rows(layout: RunLayout) -> int:
    return sum(path.read_bytes().count(b"\n") for path in layout.root.glob("*/result.json"))


def metadata(head: dict[str, str]) -> dict[str, str]:
    """What Ray's dashboard shows of the one job that there is."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(f"{head['RAY_ADDRESS']}/api/jobs/", headers=headers)
    with urllib.request.urlopen(request, timeout=300) as answer:
        (job,) = json.load(answer)
    found: dict[str, str] = job["metadata"]
    return {name: value for name, value in found.items() if not name.startswith("job_")}


def test_one_spec_is_one_job_that_is_submitted_again_when_it_is_lost(
    head: dict[str, str], project: Path
) -> None:
    layout = Storage(project.parent / "storage").run("cartpole_ppo")
    spec = project / "sweeps" / "cartpole_ppo.yaml"
    following = rlsweep(head, project, "run", str(spec), *SETTINGS)
    wait_until(lambda: rows(layout) >= 4, following)
    second = said(rlsweep(head, project, "submit", "cartpole_ppo.yaml", *SETTINGS, "--no-follow"))
    assert "-1 at http://127.0.0.1" in second
    assert ": running" in second
    assert metadata(head) == {
        "sweep": "cartpole_ppo",
        "description": "PPO on CartPole, learning rate and number of epochs as a grid.",
        "storage": str(layout.root.parent),
    }
    (driver,) = drivers(layout.root.parent)
    driver.kill()
    before = rows(layout)
    wait_until(lambda: rows(layout) >= before + 2, following)
    assert len(drivers(layout.root.parent)) == 1
    assert "cartpole_ppo: 2 trials" in said(rlsweep(head, project, "logs", "cartpole_ppo"))
    assert "is told to stop" in said(rlsweep(head, project, "stop", "cartpole_ppo"))
    text = said(following, 143)
    assert "it is submitted again" in text
    assert text.count("cartpole_ppo: 2 trials") == 2, "the console of both, each once"
    assert "-2: stopped" in text
    for path in layout.root.glob("*/result.json"):
        found = sorted({json.loads(line)["training_iteration"] for line in path.read_text().splitlines()})
        assert found == list(range(1, found[-1] + 1)), "no iteration is missing"
    assert all(layout.checkpoints(path.parent.name) for path in layout.root.glob("*/result.json"))
    assert_nothing_private_was_sent(Path(head["HEAD_FOLDER"]))


def assert_nothing_private_was_sent(folder: Path) -> None:
    sent = [path for path in folder.rglob("*") if path.is_file() and "runtime_resources" in path.parts]
    assert any(path.name == "cartpole_ppo.yaml" for path in sent)
    for path in sent:
        assert b"canary" not in path.read_bytes(), path


def test_who_has_no_token_is_turned_away(head: dict[str, str], project: Path) -> None:
    text = said(rlsweep(head, project, "submit", "cartpole_ppo.yaml", RAY_AUTH_TOKEN="wrong" * 8), 4)
    assert "wants its cluster's token" in text
    own = {"RAY_ADDRESS": head["HEAD_ADDRESS"], "RAY_AUTH_TOKEN": "wrong" * 8}
    text = said(rlsweep(head, project, "plan", "cartpole_ppo.yaml", **own), 4)
    assert f"RAY_ADDRESS={head['HEAD_ADDRESS']} asks for a token" in text


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RLSWEEP_STORAGE": "runs"}, "name one that the cluster reaches"),
        ({"MLFLOW_TRACKING_URI": "http://ada:hunter2@mlflow:5000"}, "http://mlflow:5000 holds a password"),
        ({"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}, "sqlite:///mlflow.db lies on this machine"),
        ({"RAY_ADDRESS": "ray://head:10001"}, "the sweep would end with this connection"),
    ],
)
def test_what_a_cluster_could_not_reach_or_should_not_see_is_refused(
    variables: dict[str, str], message: str, head: dict[str, str], project: Path
) -> None:
    text = said(rlsweep(head, project, "run", "cartpole_ppo.yaml", **variables), 4)
    assert message in text
    assert "hunter2" not in text


def test_a_spec_that_would_not_be_sent_is_refused(head: dict[str, str], project: Path) -> None:
    outside = project.parent / "elsewhere.yaml"
    shutil.copy(project / "sweeps" / "cartpole_ppo.yaml", outside)
    assert "outside of" in said(rlsweep(head, project, "submit", str(outside)), 2)
    shutil.copy(outside, project / "runs" / "kept.yaml")
    assert "not sent to the cluster" in said(rlsweep(head, project, "submit", "runs/kept.yaml"), 2)


def test_a_working_directory_that_is_too_large_is_told(head: dict[str, str], project: Path) -> None:
    (project / "data.bin").write_bytes(os.urandom(101 * 2**20))
    text = said(rlsweep(head, project, "submit", "cartpole_ppo.yaml", "--no-follow"), 2)
    assert f"{project} is sent: leave what is large to .rayignore" in text


def test_nobody_there(head: dict[str, str], project: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    text = said(rlsweep(head, project, "submit", "cartpole_ppo.yaml", "--address", address), 4)
    assert "Failed to connect" in text
    for address in (f"127.0.0.1:{free_port()}", "head"):
        text = said(rlsweep(head, project, "plan", "cartpole_ppo.yaml", RAY_ADDRESS=address), 4)
        assert f"RAY_ADDRESS={address}: " in text
        assert "unset RAY_ADDRESS" in text


def test_local_names_no_cluster(project: Path) -> None:
    """Ray would take it for one, and listen on every address."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    code = "from rlsweep.cli import main; import os, sys; sys.argv[1:] = ['--help']\n"
    code += "try: main()\nexcept SystemExit: print('RAY_ADDRESS' in os.environ)"
    command = [sys.executable, "-c", code]
    for address in ("local", " "):
        own = {**environment, "RAY_ADDRESS": address}
        done = subprocess.run(command, cwd=project, env=own, capture_output=True, text=True, check=True)
        assert done.stdout.endswith("False\n")
