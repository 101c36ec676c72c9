"""The alerts: each fires in its case and in no other, asks for metrics that exist, and is explained."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.charts import exposition
from tests.charts.conftest import CHART
from tests.charts.promql import grouped, selectors

Object = dict[str, Any]

RULES = CHART / "files/alerts.yaml"
CASES = Path(__file__).parent / "alert_cases.yaml"
ALERTS: dict[str, Object] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}
RUNBOOK = Path("docs/operations.md").read_text()
TARGET = {"namespace", "pod"}
"""Labels that a scrape adds, by the chart's PodMonitors and in docs/operations.md."""
FOREIGN = {
    "container_memory_working_set_bytes": {"namespace", "pod", "container"},
    "kube_pod_container_resource_limits": {"namespace", "pod", "container", "resource"},
    "DCGM_FI_DEV_FB_USED": {"namespace", "pod", "exported_namespace", "exported_pod", "gpu"},
    "DCGM_FI_DEV_FB_FREE": {"namespace", "pod", "exported_namespace", "exported_pod", "gpu"},
}
"""What others tell: the kubelet, kube-state-metrics and NVIDIA's exporter; the page says so."""


def known() -> dict[str, set[str]]:
    """Every metric that there is, with its labels."""
    found: dict[str, set[str]] = {}
    for text in (exposition.operator(), exposition.server()):
        for name, labels in exposition.labels(text):
            found.setdefault(name, set(TARGET)).update(labels)
    assert not found.keys() & FOREIGN.keys()
    return found | FOREIGN


def firing() -> dict[str, set[str]]:
    """The labels with which each alert fires in the cases."""
    found: dict[str, set[str]] = {}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for question in case["promql_expr_test"]:
            for sample in question["exp_samples"]:
                labels = dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"]))
                found.setdefault(labels.pop("alertname"), set()).update(labels)
    return found


def test_every_alert_fires_in_its_case_and_none_where_all_is_well(promtool: Callable[..., str]) -> None:
    promtool("check", "rules", RULES)
    promtool("test", "rules", CASES)


def test_every_alert_has_a_case() -> None:
    assert firing().keys() == ALERTS.keys()


def test_cases_are_made_of_series_that_exist() -> None:
    """Breaks if an alert is proved by a metric or a label that nobody tells."""
    there = known()
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for line in case["input_series"]:
            ((name, labels),) = selectors(line["series"])
            assert labels <= there.get(name, set()), line["series"]


def test_alerts_ask_for_metrics_and_labels_that_exist() -> None:
    there = known()
    for name, rule in ALERTS.items():
        asked = list(selectors(rule["expr"]))
        assert asked, name
        for metric, labels in asked:
            assert metric in there, f"{name}: nobody tells {metric}"
            assert labels <= there[metric], f"{name}: {metric} has no labels {labels - there[metric]}"
        assert grouped(rule["expr"]) <= set().union(*(there[metric] for metric, _ in asked)), name


def test_what_an_alert_says_is_filled_in() -> None:
    """Breaks if a text names a label that the alert does not carry, which Prometheus leaves empty without a word."""
    labels = firing()
    for name, rule in ALERTS.items():
        text = rule["annotations"]["summary"] + rule["annotations"]["description"]
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels[name], name
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


def test_every_alert_has_a_section_in_the_runbook() -> None:
    """A heading of the page, and the link to it as a forge makes it."""
    headings = re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)
    assert headings == list(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"
    assert [metric for metric in FOREIGN if f"`{metric}`" not in RUNBOOK] == []
