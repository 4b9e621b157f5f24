"""What stands in `deploy/` for Prometheus and Grafana: it reads, and asks for nothing that the server does not tell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from llama_vid.memory.alerts import AlertChange, AlertEvent
from tests.conftest import ROOT
from tests.server.running import running_server, until

DASHBOARD = ROOT / "deploy" / "grafana" / "llama-vid.json"
PROMETHEUS = ROOT / "deploy" / "prometheus"
#: Words of a query that are not metrics are none of these.
METRIC = re.compile(r"\bllama_vid_\w+")
#: Prometheus' own.
SELECTOR = re.compile(r"\{([^}]*)\}")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every metric that a server tells which has watched, answered, written and raised an alert; and its labels."""
    with running_server(memory=tmp_path_factory.mktemp("memory")) as server:
        body = {"model": "camera:front", "messages": [{"role": "user", "content": "hello"}]}
        assert server.http.post("/v1/chat/completions", json=body).status_code == 200
        event = AlertEvent("evt_1", "front", "cats", "A cat.", 5.0, None, 0.9)
        server.model.session("front").alert(AlertChange("new", event, 5.0))
        counted = 'llama_vid_alerts_total{camera="front",rule="cats"} 1.0'
        until(lambda: counted in server.http.get("/metrics").text, "the alert")
        until(lambda: "written_timestamp" in server.http.get("/metrics").text, "the journal's first write")
        found: dict[str, set[str]] = {}
        for family in text_string_to_metric_families(server.http.get("/metrics").text):
            assert family.documentation, family.name
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
        return found


def queries(tree: Any) -> Iterator[str]:
    """Every query of a dashboard: of panels and of variables."""
    for panel in tree["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in tree["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def check(query: str, told: dict[str, set[str]]) -> None:
    """Every metric of a query is told, with the labels that are asked for."""
    names = METRIC.findall(query)
    assert names, query
    for name in names:
        assert name in told, f"{query}: no such metric"
    for selector in SELECTOR.findall(query):
        for label in re.findall(r"(\w+)\s*[=!]", selector):
            assert label in {"instance", "job"} or any(label in told[name] for name in names), f"{query}: {label}"


def test_the_dashboard_asks_for_metrics_that_exist(told: dict[str, set[str]]) -> None:
    tree = json.loads(DASHBOARD.read_text())
    asked = list(queries(tree))
    assert len(asked) > 20
    for query in asked:
        check(query, told)
        assert query.count("(") == query.count(")")
        for by in re.findall(r"by \(([^)]*)\)", query):
            labels = {label.strip() for label in by.split(",")}
            assert any(labels <= told[name] | {"instance"} for name in METRIC.findall(query)), query
    panels = [panel for panel in tree["panels"] if panel["type"] != "row"]
    legends = {
        label for panel in panels for t in panel["targets"] for label in re.findall(r"{{(\w+)}}", t["legendFormat"])
    }
    assert legends <= {"instance", *(label for labels in told.values() for label in labels)}
    # Everything that is told of cameras, answers and memory is somewhere to be seen.
    shown = {name for query in asked for name in METRIC.findall(query)}
    aside = re.compile(r"llama_vid_(process_|build_info|\w+_(created|count|sum)$)")
    assert {name for name in told if not aside.match(name)} <= shown


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    tree = json.loads(DASHBOARD.read_text())
    assert tree["id"] is None
    assert tree["uid"] == "llama-vid-live"
    assert tree["schemaVersion"] >= 39
    numbers = [panel["id"] for panel in tree["panels"]]
    assert len(set(numbers)) == len(numbers)
    variables = {variable["name"] for variable in tree["templating"]["list"]}
    assert variables >= {"datasource", "instance", "camera"}
    taken: set[tuple[int, int]] = set()
    for panel in tree["panels"]:
        assert panel["title"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies over another panel"
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["type"] == "row" or panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        used = set(re.findall(r"\$(?!__)(\w+)", json.dumps(panel.get("targets", []))))
        assert used <= variables
        for target in panel.get("targets", ()):
            assert target["datasource"] == panel["datasource"]
            assert target["refId"]


def test_the_alert_rules_ask_for_metrics_that_exist(told: dict[str, set[str]]) -> None:
    tree = YAML(typ="safe").load((PROMETHEUS / "alerts.yml").read_text())
    rules = [rule for group in tree["groups"] for rule in group["rules"]]
    assert len(rules) >= 5
    for rule in rules:
        assert re.fullmatch(r"LlamaVid[A-Za-z]+", rule["alert"])
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("warning", "critical")
        if not rule["expr"].startswith("up"):
            check(rule["expr"], told)
    config = YAML(typ="safe").load((PROMETHEUS / "prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    assert (PROMETHEUS / config["rule_files"][0]).is_file()


@pytest.mark.peer
def test_prometheus_own_tool_takes_them(tmp_path: Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    with running_server(memory=tmp_path) as server:
        text = server.http.get("/metrics").text
    metrics = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (metrics.returncode, metrics.stdout + metrics.stderr) == (0, "")
    for arguments in (["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"]):
        checked = subprocess.run([tool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, checked.stdout + checked.stderr
