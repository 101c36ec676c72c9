"""The dashboards: what Grafana cannot do without, and expressions that exist."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts import dashboards
from tests.charts.promql import grouped, selectors
from tests.charts.test_alerts import FOREIGN, known

Object = dict[str, Any]
BOARDS: dict[str, Object] = {path.name: json.loads(path.read_text()) for path in dashboards.FOLDER.iterdir()}
UNITS = {"short", "s", "bytes", "percent", "percentunit", "reqps", "ops"}
VARIABLES = {"$namespace": "team-a", "$name": "digits", "$model": "digits", "$__rate_interval": "1m"}
each = pytest.mark.parametrize("name", sorted(BOARDS))


def panels(name: str) -> list[Object]:
    return [panel for panel in BOARDS[name]["panels"] if panel["type"] != "row"]


def expressions(name: str) -> Iterator[tuple[str, str]]:
    """Title and PromQL, with values in the place of variables."""
    for panel in panels(name):
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            assert "$" not in expression, f"{panel['title']}: a variable that is not declared: {expression}"
            yield panel["title"], expression


def test_files_are_those_that_are_generated() -> None:
    written = {path.name: path.read_text() for path in dashboards.FOLDER.iterdir()}
    assert written == {name: dashboards.text(board) for name, board in dashboards.dashboards().items()}, (
        "run: make dashboards"
    )


@each
def test_dashboard_can_be_shown_by_any_grafana(name: str) -> None:
    """Breaks if two panels have one id, overlap or lack a title, or a data source is somebody's own."""
    board = BOARDS[name]
    assert len({one["uid"] for one in BOARDS.values()}) == len(BOARDS)
    declared = {one["name"]: one for one in board["templating"]["list"]}
    assert declared["datasource"]["query"] == "prometheus"
    everything = board["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    cells = [
        (x, y)
        for panel in everything
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert all(panel["title"] for panel in everything)
    for panel in panels(name):
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(source["uid"] == "${datasource}" for source in sources)


@each
def test_expressions_are_promql(name: str, promtool: Callable[..., str], tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": text} for number, (_, text) in enumerate(expressions(name))]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file)


@each
def test_expressions_ask_for_metrics_and_labels_that_exist(name: str) -> None:
    there = {metric: labels | {"instance"} for metric, labels in known().items() if metric not in FOREIGN}
    queries = [one["query"]["query"] for one in BOARDS[name]["templating"]["list"] if one["type"] == "query"]
    asked = [expression for _, expression in expressions(name)]
    asked += [query.removeprefix("label_values(").rpartition(",")[0] for query in queries]
    for expression in asked:
        for metric, labels in selectors(expression):
            assert labels | grouped(expression) <= there.get(metric, set()) | {"le"}, expression


@each
def test_columns_and_legends_are_labels_of_what_is_asked_for(name: str) -> None:
    there = known()
    for panel in panels(name):
        (metric, _), *_ = selectors(panel["targets"][0]["expr"])
        if panel["type"] == "table":
            columns = panel["transformations"][0]["options"]["include"]["names"]
            assert set(columns) <= there[metric] | {"Value"}, panel["title"]
        for target in panel["targets"]:
            legend = {part for part in target["legendFormat"].split() if part.startswith("{{")}
            assert {part.strip("{}") for part in legend} <= there[metric], panel["title"]
