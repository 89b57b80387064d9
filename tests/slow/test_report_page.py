"""`report/index.html` in a real browser: nothing from the network, no error, dark and light, on a phone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

from analysis.findings import find
from analysis.report import INDEX, write_report
from rlsweep.store.layout import Storage
from rlsweep.store.manifest import Manifest, Objective, TrialRecord

pytestmark = pytest.mark.slow

ENV_STEPS = range(1000, 21_000, 1000)
HOSTILE = "</script><b>lr</b>&amp;`x`"
"""A name that must come out as it is, wherever it stands."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five configurations of two parameters with two seeds each, in two objectives."""
    layout = Storage(tmp_path_factory.mktemp("runs")).run("sweep")
    records, start = [], 1_700_000_000
    for index, lr in enumerate((1e-5, 1e-4, 3e-4, 1e-3, 1e-2)):
        for seed in (0, 1):
            values = {"training.lr": lr, "network.name": "small" if index % 2 else "big"}
            name = f"lr={lr},{HOSTILE}"
            record = TrialRecord(f"t{index}-{seed}", name, values, seed, "", status="finished")
            records.append(record)
            rows = [row(steps, lr, seed, start + steps // 100) for steps in ENV_STEPS]
            layout.trial(record.id).mkdir(parents=True)
            layout.result_json(record.id).write_text("".join(json.dumps(one) + "\n" for one in rows))
    objectives = [Objective("score", "maximize"), Objective("seconds", "minimize")]
    spec = {"description": HOSTILE}
    Manifest("sweep", spec, "", "", "", objectives, "2026-11-20", "", {}, records).write(layout)
    write_report(find(layout), layout, layout.report)
    return layout.report / INDEX


def row(env_steps: int, lr: float, seed: int, timestamp: int) -> dict[str, Any]:
    score = env_steps / 1000 * (5 + math.log10(lr) + seed / 4)
    return {
        "score": score,
        "score_valid": True,
        "games": 10,
        "env_steps": env_steps,
        "seconds": env_steps / (1000 * lr),
        "training_iteration": env_steps // 1000,
        "timestamp": timestamp,
    }


def test_every_figure_is_drawn_without_an_error(page: Path, browser: WebDriver, tmp_path: Path) -> None:
    browser.get(page.as_uri())
    plots = "return [...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('svg').length)"
    WebDriverWait(browser, 30).until(lambda driver: all(driver.execute_script(plots)))
    assert len(browser.execute_script(plots)) == 7, "curves, two parameters, all, importance, front, timeline"
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    requests = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in requests if not name.startswith("data:")] == []
    assert HOSTILE in browser.find_element("tag name", "p").text
    assert browser.find_elements("css selector", "td b") == []
    browser.save_screenshot(str(tmp_path / "page.png"))


def test_dark_and_light_follow_the_system_and_the_button(page: Path, browser: WebDriver) -> None:
    def background(theme: str) -> tuple[str, str]:
        features = [{"name": "prefers-color-scheme", "value": theme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(page.as_uri())
        script = "return getComputedStyle(document.body).backgroundColor"
        before = browser.execute_script(script)
        browser.find_element("id", "theme").click()
        return before, browser.execute_script(script)

    light, turned_dark = background("light")
    dark, turned_light = background("dark")
    assert (light, dark) == (turned_light, turned_dark)
    assert light != dark
    text = "return document.querySelector('.plot .xtitle').style.fill"
    assert browser.execute_script(text) == "rgb(28, 35, 48)", "the figures follow"


def test_a_phone_scrolls_downwards_only(page: Path, browser: WebDriver) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        browser.get(page.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
