"""A real Prometheus that scrapes what the operator and a model server really tell, and is asked for everything that is shown."""

import json
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.kind.control_plane import free_ports
from tests.charts import exposition
from tests.charts.test_alerts import ALERTS, RULES
from tests.charts.test_dashboards import BOARDS, expressions

DEADLINE = 60.0
"""Seconds until Prometheus must be up and have scraped a few times."""


class _Target(BaseHTTPRequestHandler):
    text = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, *_: Any) -> None:
        """Prometheus asks once a second; nobody wants to read that."""


@pytest.fixture(scope="module")
def targets() -> Iterator[list[int]]:
    """Ports of an operator and a model server."""
    servers = [
        ThreadingHTTPServer(("127.0.0.1", 0), type("Target", (_Target,), {"text": text}))
        for text in (exposition.operator(), exposition.server())
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [server.server_address[1] for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


def job(name: str, port: int, **labels: str) -> dict[str, Any]:
    """A scrape of one pod as docs/operations.md has it."""
    targets = [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]
    return {"job_name": name, "honor_labels": name == "operator", "static_configs": targets}


@pytest.fixture(scope="module")
def address(prometheus: Path, targets: list[int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has scraped both three times."""
    folder = tmp_path_factory.mktemp("prometheus")
    jobs = [
        job("operator", targets[0], namespace="luntra-system", pod="luntra-0"),
        job("models", targets[1], namespace=exposition.NAMESPACE, pod="digits-w1-0"),
    ]
    settings = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": settings, "rule_files": [str(RULES)], "scrape_configs": jobs}))
    (port,) = free_ports(1)
    command = [str(prometheus), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + DEADLINE
            while not scraped(address):
                lost = process.poll() is not None or time.monotonic() > deadline
                assert not lost, (folder / "log").read_text()
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait()


def ask(address: str, path: str, **question: str) -> Any:
    with urllib.request.urlopen(f"{address}/api/v1/{path}?{urllib.parse.urlencode(question)}", timeout=10) as answer:
        return json.load(answer)["data"]


def scraped(address: str) -> bool:
    try:
        found = ask(address, "query", query="count_over_time(up[1m]) > 2 and up == 1")
    except OSError:
        return False
    return len(found["result"]) == 2


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_every_panel_shows_something(address: str, name: str) -> None:
    """Breaks if labels do not meet, which is no error to Prometheus and an empty panel to people."""
    empty = [title for title, text in expressions(name) if not ask(address, "query", query=text)["result"]]
    assert empty == []


def test_variables_find_the_objects(address: str) -> None:
    for one in BOARDS["rollout.json"]["templating"]["list"][1:]:
        series, _, label = one["query"]["query"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
        selector = series.replace("$namespace", exposition.NAMESPACE).replace("$name", exposition.NAME)
        found = ask(address, f"label/{label}/values", **{"match[]": selector})
        assert {"namespace": exposition.NAMESPACE, "name": exposition.NAME, "model": exposition.MODEL}[label] in found


def test_alerts_find_what_the_operator_tells(address: str) -> None:
    """Those that wait for nothing fire, for the very objects; those that wait are pending; what is well is neither."""
    deadline = time.monotonic() + DEADLINE
    while not (found := ask(address, "alerts")["alerts"]) and time.monotonic() < deadline:
        time.sleep(0.2)
    told = {(one["labels"]["alertname"], one["labels"].get("name", ""), one["state"]) for one in found}
    assert told >= {
        ("LuntraRolledBack", "rolled-back", "firing"),
        ("LuntraUnavailable", "unserved", "pending"),
        ("LuntraStalled", "invalid", "pending"),
        ("LuntraPausedForLong", "digits", "pending"),
        ("LuntraMetricSilent", "digits", "pending"),
        ("LuntraSwapFailed", "", "firing"),
    }
    assert not {name for alert, name, _ in told if alert == "LuntraUnavailable"} & {"first", "stable"}
    rules = [rule for group in ask(address, "rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule["lastError"] for rule in rules if rule["health"] == "err"} == {}
    assert {rule["name"] for rule in rules} == ALERTS.keys()
