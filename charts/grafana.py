"""What Grafana wants to have said of a dashboard and its panels, and a grid to lay them out in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Json = dict[str, Any]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
"""Columns of Grafana's grid."""


@dataclass(frozen=True)
class Panel:
    """One panel; `queries` are PromQL by the text of their legend, and in a table the columns' labels are in `columns`."""

    title: str
    kind: str
    unit: str
    queries: dict[str, str]
    width: int = 8
    height: int = 8
    description: str = ""
    columns: tuple[str, ...] = ()
    colours: tuple[tuple[str, float | None], ...] = (("text", None),)
    top: float | None = None
    """Upper end of the axis, where the unit has one."""

    def json(self, number: int, x: int, y: int) -> Json:
        """The panel as Grafana has it."""
        at_once = self.kind in ("table", "stat")
        steps = [{"color": colour, "value": value} for colour, value in self.colours]
        defaults: Json = {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}}
        if self.kind == "timeseries":
            defaults |= {"min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}}
        if self.top is not None:
            defaults |= {"max": self.top}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "targets": [
                {
                    "refId": chr(ord("A") + position),
                    "datasource": SOURCE,
                    "expr": expression,
                    "legendFormat": legend,
                    "instant": at_once,
                    "range": not at_once,
                    "format": "table" if self.kind == "table" else "time_series",
                }
                for position, (legend, expression) in enumerate(self.queries.items())
            ],
            **self._shown(),
        }

    def _shown(self) -> Json:
        if self.kind == "stat":
            return {"options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "auto", "colorMode": "value"}}
        if self.kind == "table":
            order = {name: position for position, name in enumerate(self.columns)}
            chosen = {"include": {"names": [*self.columns]}}
            return {
                "transformations": [
                    {"id": "filterFieldsByName", "options": chosen},
                    {"id": "organize", "options": {"indexByName": order}},
                ]
            }
        return {"options": {"tooltip": {"mode": "multi", "sort": "desc"}, "legend": {"displayMode": "list"}}}


def variable(name: str, query: str, *, hidden: bool = False) -> Json:
    """A variable with the values that a query finds."""
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "hide": 2 if hidden else 0,
    }


def dashboard(uid: str, title: str, rows: dict[str, tuple[Panel, ...]], variables: Iterable[Json] = ()) -> Json:
    """A dashboard as Grafana has it."""
    source = {"name": "datasource", "type": "datasource", "label": "Prometheus", "query": "prometheus"}
    return {
        "uid": uid,
        "title": title,
        "tags": ["luntra"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, *variables]},
        "panels": list(_placed(rows)),
    }


def _placed(rows: dict[str, tuple[Panel, ...]]) -> Iterator[Json]:
    """Every row's title and panels, wrapped where a line is full."""
    number = y = 0
    for title, panels in rows.items():
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}}  # fmt: skip
        x, y, line = 0, y + 1, 0
        for panel in panels:
            if x + panel.width > WIDTH:
                x, y, line = 0, y + line, 0
            number += 1
            yield panel.json(number, x, y)
            x, line = x + panel.width, max(line, panel.height)
        y += line
