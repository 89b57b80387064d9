"""The MLflow UI in a real browser: the sweep, its trials, a chart."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import answers
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait
from waiting import wait_until

from rlsweep.store.layout import Storage
from rlsweep.store.manifest import Manifest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def rlsweep(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from rlsweep.cli import main; main()", *arguments]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    arguments = ["run", "cartpole_ppo.yaml", "--profile", "smoke", "--storage", str(folder)]
    subprocess.run(rlsweep(*arguments), cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def server(storage: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = rlsweep("ui", "--port", str(port), "--storage", str(storage))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **quiet)  # type: ignore[call-overload]
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url), process)
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=300)


def see(browser: WebDriver, text: str) -> None:
    """Wait until the page shows the text."""
    body = (By.TAG_NAME, "body")
    WebDriverWait(browser, 60).until(
        lambda driver: text in driver.find_element(*body).text, f"the page does not show {text!r}"
    )


def test_the_ui_shows_the_sweep_its_trials_and_a_chart(
    server: str, storage: Path, browser: WebDriver, tmp_path: Path
) -> None:
    manifest = Manifest.read(Storage(storage).run("cartpole_ppo"))
    browser.get(f"{server}/#/experiments/1/runs")
    see(browser, "3 matching runs")
    expander = (By.CSS_SELECTOR, ".ag-row [col-id*='Run Name'] button")  # the table comes after the count
    WebDriverWait(browser, 60).until(lambda driver: driver.find_elements(*expander), "no row to unfold")
    browser.save_screenshot(str(tmp_path / "parent.png"))
    browser.find_element(*expander).click()
    for record in manifest.trials:
        see(browser, f"{record.config_id} · seed {record.seed}")
    browser.save_screenshot(str(tmp_path / "children.png"))

    run_id = manifest.trials[0].mlflow_run_id
    browser.get(f"{server}/#/experiments/1/runs/{run_id}/model-metrics")
    see(browser, "entropy")
    WebDriverWait(browser, 60).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, ".js-plotly-plot path.js-line"),
        "no chart was drawn",
    )
    browser.save_screenshot(str(tmp_path / "charts.png"))


def test_a_foreign_host_name_is_turned_away(server: str) -> None:
    address = f"{server}/api/2.0/mlflow/experiments/search?max_results=1"
    request = urllib.request.Request(address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 403
