"""docker/grafana/rlsweep.json: what can be known of it where no Grafana runs."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from test_docker import COMPOSE, DOCKER, SERVICES

from callbacks.driver.gauges import GAUGES, STATE, SWEEP, TRIALS

DASHBOARD: dict[str, Any] = json.loads((DOCKER / "grafana" / "rlsweep.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
METRIC = re.compile(r"\bray_(\w+)")
LABELS = re.compile(r"by \(([^)]*)\)|\{(\w+)=")
LABELS_OF_RAY = {"instance", "GpuIndex"}
"""The first is Prometheus's own."""


def expressions() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def config(name: str) -> Any:
    return yaml.safe_load(COMPOSE["configs"][name]["content"])


def test_panels_show_what_is_exported_and_all_of_ours() -> None:
    shown = {name for expression in expressions() for name in METRIC.findall(expression)}
    ours = {name for name in shown if name.startswith("rlsweep_")}
    assert ours == set(GAUGES)
    reporter = Path(ray.__file__).parent / "dashboard" / "modules" / "reporter" / "reporter_agent.py"
    rays = set(re.findall(r'"(\w+)": Gauge\(', reporter.read_text("utf-8")))
    assert shown - ours
    assert shown - ours <= rays


@pytest.mark.parametrize("expression", expressions())
def test_queries_ask_for_tags_that_there_are(expression: str) -> None:
    found = {one.strip() for pair in LABELS.findall(expression) for one in ",".join(pair).split(",")} - {""}
    known = {SWEEP, STATE} if TRIALS in expression else {SWEEP} if "rlsweep" in expression else LABELS_OF_RAY
    assert found <= known
    assert "rlsweep" not in expression or f'{{{SWEEP}=~"$sweep"}}' in expression


def test_source_and_sweeps_are_chosen_above() -> None:
    source, sweep = DASHBOARD["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert sweep["query"]["query"] == sweep["definition"] == f"label_values(ray_{TRIALS}, {SWEEP})"
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for one in [sweep, *PANELS, *(target for panel in PANELS for target in panel["targets"])]:
        assert one["datasource"] == chosen


def test_panels_have_units_and_a_place_of_their_own() -> None:
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_above
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    mounted = {one["target"]: one["source"] for one in SERVICES["grafana"]["configs"]}
    (source,) = config("grafana_datasource")["datasources"]
    head = SERVICES["head"]["environment"]
    assert source["url"] == head["RAY_PROMETHEUS_HOST"] == "http://prometheus:9090"
    assert source["name"] == "Prometheus", "for which Ray's dashboard asks"
    ours, rays = (Path(one["options"]["path"]) for one in config("grafana_dashboards")["providers"])
    assert mounted[str(ours / "rlsweep.json")] == "grafana_rlsweep"
    assert DOCKER / COMPOSE["configs"]["grafana_rlsweep"]["file"] == DOCKER / "grafana" / "rlsweep.json"
    assert f"ray_dashboards:{rays}:ro" in SERVICES["grafana"]["volumes"]
    assert f"ray_dashboards:{head['RAY_METRICS_GRAFANA_DASHBOARD_OUTPUT_DIR']}" in SERVICES["head"]["volumes"]
    assert head["RAY_METRICS_GRAFANA_DASHBOARD_OUTPUT_DIR"] in (DOCKER / "Dockerfile").read_text("utf-8")
    port = SERVICES["grafana"]["environment"]["GF_SERVER_HTTP_PORT"]
    assert head["RAY_GRAFANA_HOST"] == f"http://grafana:{port}"
    assert SERVICES["grafana"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert head["RAY_GRAFANA_IFRAME_HOST"] == f"http://127.0.0.1:{port}"


def test_prometheus_asks_the_head_with_its_token_and_is_not_published() -> None:
    assert "ports" not in SERVICES["prometheus"], "it asks nobody for a password"
    (job,) = config("prometheus")["scrape_configs"]
    (discovery,) = job["http_sd_configs"]
    command = SERVICES["head"]["command"]
    (port,) = (word.partition("=")[2] for word in command if word.startswith("--dashboard-port="))
    assert discovery["url"] == f"http://head:{port}/api/prometheus/sd"
    assert discovery["authorization"] == {"type": "Bearer", "credentials_file": "/run/secrets/ray_token"}
    assert "--web.listen-address=0.0.0.0:9090" in SERVICES["prometheus"]["command"]
    for name in ("prometheus", "grafana"):
        assert SERVICES[name]["profiles"] == ["monitoring"]
        assert SERVICES[name]["networks"] == SERVICES["head"]["networks"]
