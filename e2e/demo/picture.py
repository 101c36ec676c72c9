"""The demo as a picture: who answered over time, and what the operator asked for. Pure: records in, SVG text out.

From top to bottom: title and legend; one bar per rollout, in the colour of its end; the share of answers per version,
newest at the bottom, so that a candidate's area meets the line of its weight; the outcomes in words. Drawn by hand, for
it needs nothing but text, and its style follows the reader's light or dark setting.
"""

from __future__ import annotations

from collections import Counter
from html import escape
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from e2e.demo.records import Answer, Outcome, Weight, versions_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTH = 1120
_LEFT, _RIGHT = 72, 32
_LANE_TOP, _LANE = 104, 26
_TOP, _PLOT = 146, 300
_BOTTOM = _TOP + _PLOT
_NOTES = _BOTTOM + 78
_NOTE = 26
_BINS = 240
_SHORTEST_BIN = 0.5
_NOTE_LENGTH = 140

_STYLE = """
  .paper{fill:#ffffff} .ink{fill:#1f2328} .quiet{fill:#656d76} .grid{stroke:#d0d7de;stroke-width:1}
  .frame{fill:#f6f8fa} .halo{stroke:#ffffff;stroke-opacity:.85;stroke-width:5;fill:none;stroke-linejoin:round}
  .weight{stroke:#1f2328;stroke-width:2;fill:none;stroke-linejoin:round}
  .end{stroke-width:1.5;stroke-dasharray:3 4} .good{fill:#1a7f37} .bad{fill:#cf222e} .other{fill:#6e7781}
  .end.good{stroke:#1a7f37} .end.bad{stroke:#cf222e} .end.other{stroke:#6e7781} .on{fill:#ffffff}
  .v0{fill:#6ea8dc} .v1{fill:#f0a35e} .v2{fill:#a78bda} .v3{fill:#5dbcaa} .v4{fill:#d98cb3} .v5{fill:#b5b35c}
  .error{fill:#cf222e}
  text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:14px}
  .title{font-size:21px;font-weight:600} .small{font-size:12.5px} .bold{font-weight:600}
  @media (prefers-color-scheme: dark){
    .paper{fill:#0d1117} .ink{fill:#e6edf3} .quiet{fill:#8b949e} .grid{stroke:#30363d} .frame{fill:#161b22}
    .halo{stroke:#0d1117} .weight{stroke:#f0f6fc}
    .good{fill:#2da44e} .bad{fill:#e5534b} .end.good{stroke:#2da44e} .end.bad{stroke:#e5534b}
    .v0{fill:#3f77b0} .v1{fill:#c4742f} .v2{fill:#7d60b8} .v3{fill:#2f8c7c} .v4{fill:#a85a83} .v5{fill:#84822f}
  }
"""
_MARKS = {"Promoted": ("good", "✔"), "RolledBack": ("bad", "✘")}


class _Scale:
    """Maps seconds since the epoch and percent to places in the picture."""

    def __init__(self, begin: float, end: float) -> None:
        self.begin = begin
        self.seconds = max(end - begin, 1.0)

    def x(self, at: float) -> float:
        share = min(max((at - self.begin) / self.seconds, 0.0), 1.0)
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y(self, percent: float) -> float:
        return _BOTTOM - percent / 100 * _PLOT


def draw(title: str, answers: Sequence[Answer], weights: Sequence[Weight], outcomes: Sequence[Outcome]) -> str:
    """Draw a run; at least one answer is needed.

    Raises:
        ValueError: there are no answers to draw.
    """
    if not answers:
        raise ValueError("answers is empty: there is nothing to draw; did the client run?")
    scale = _Scale(min(one.at for one in answers), max(one.at for one in answers))
    newest_last = versions_of(answers)
    classes = {version: f"v{index % 6}" for index, version in enumerate(newest_last)}
    height = _NOTES - 14 + _NOTE * max(len(outcomes), 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}"><style>{_STYLE}</style>',
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>',
        *_header(title, answers, classes),
        *_plot(scale),
        *_areas(scale, answers, newest_last[::-1], classes),
        *_gridlines(scale),
        *_weights(scale, weights, outcomes),
        *_lanes(scale, outcomes),
        *_notes(scale, outcomes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _header(title: str, answers: Sequence[Answer], classes: dict[str, str]) -> Iterator[str]:
    lost, failed = sum(one.lost for one in answers), Counter(one.version for one in answers if one.failed)
    yield f'<text class="ink title" x="{_LEFT}" y="42">{escape(title)}</text>'
    verdict = ", ".join([f"{lost or 'none'} lost", *(f"{count} failed by {one}" for one, count in failed.items())])
    yield f'<text class="quiet" x="{WIDTH - _RIGHT}" y="42" text-anchor="end">{len(answers):,} requests, {verdict}</text>'
    x = float(_LEFT)
    for version, colour in [*classes.items(), *([("failed", "error")] if lost or failed else [])]:
        yield f'<rect class="{colour}" x="{x:.0f}" y="62" width="14" height="14" rx="3"/>'
        text = version if colour == "error" else f"answered by {version}"
        yield f'<text class="ink small" x="{x + 20:.0f}" y="74">{escape(text)}</text>'
        x += 42 + 7.2 * len(text)
    yield f'<path class="weight" d="M{x:.0f} 75h9v-11h9"/>'
    yield f'<text class="ink small" x="{x + 26:.0f}" y="74">weight that the operator gave to the new version</text>'


def _plot(scale: _Scale) -> Iterator[str]:
    yield f'<rect class="frame" x="{_LEFT}" y="{_TOP}" width="{WIDTH - _LEFT - _RIGHT}" height="{_PLOT}"/>'
    yield (
        f'<text class="quiet small" transform="translate(20 {_TOP + _PLOT / 2}) rotate(-90)" text-anchor="middle">'
        "share of answers</text>"
    )
    for percent in (0, 25, 50, 75, 100):
        yield f'<text class="quiet small" x="{_LEFT - 10}" y="{scale.y(percent) + 4:.1f}" text-anchor="end">{percent} %</text>'
    tick = next((size for size in (5, 10, 15, 30, 60, 120, 300, 600) if scale.seconds / size <= 12), 1800)
    for second in range(0, int(scale.seconds) + 1, tick):
        x = scale.x(scale.begin + second)
        yield f'<line class="grid" x1="{x:.1f}" y1="{_BOTTOM}" x2="{x:.1f}" y2="{_BOTTOM + 6}"/>'
        yield f'<text class="quiet small" x="{x:.1f}" y="{_BOTTOM + 22}" text-anchor="middle">{clock(second)}</text>'


def _gridlines(scale: _Scale) -> Iterator[str]:
    for percent in (25, 50, 75):
        y = scale.y(percent)
        yield f'<line class="grid" stroke-opacity=".5" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>'


def _areas(scale: _Scale, answers: Sequence[Answer], bottom_up: list[str], classes: dict[str, str]) -> Iterator[str]:
    """Stack the shares per bin as one path per version; errors lie on top. Bins without answers stay empty."""
    size = max(scale.seconds / _BINS, _SHORTEST_BIN)
    paths: dict[str, list[str]] = {}
    ordered = sorted(answers, key=lambda one: one.at)
    for number, group in groupby(ordered, key=lambda one: int((one.at - scale.begin) / size)):
        inside = list(group)
        left, right = (scale.x(scale.begin + size * edge) for edge in (number, number + 1))
        below = 0.0
        for layer in (*bottom_up, ""):
            share = 100 * sum(1 for one in inside if _layer(one) == layer) / len(inside)
            if share and right > left:
                y = scale.y(below + share)
                path = f"M{left:.1f} {y:.1f}H{right + 0.1:.1f}V{scale.y(below):.1f}H{left:.1f}z"
                paths.setdefault(classes.get(layer, "error"), []).append(path)
            below += share
    for colour, pieces in paths.items():
        yield f'<path class="{colour}" shape-rendering="crispEdges" d="{"".join(pieces)}"/>'


def _layer(answer: Answer) -> str:
    return "" if answer.error else answer.version


def _weights(scale: _Scale, weights: Sequence[Weight], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Draw one step line per rollout, from its first weight to its end."""
    for version, group in groupby(sorted(weights, key=lambda one: one.at), key=lambda one: one.version):
        points = [(one.at, one.percent) for one in group]
        ended = [one for one in outcomes if one.version == version and one.finished >= points[0][0]]
        if ended:
            last = 100 if ended[0].outcome == "Promoted" else 0
            points.append((max(ended[0].finished, points[-1][0]), last))
        path = f"M{scale.x(points[0][0]):.1f} {scale.y(points[0][1]):.1f}"
        for (_, before), (at, percent) in pairwise(points):
            if percent != before or at == points[-1][0]:
                path += f"H{scale.x(at):.1f}V{scale.y(percent):.1f}"
        yield f'<path class="halo" d="{path}"/><path class="weight" d="{path}"/>'


def _lanes(scale: _Scale, outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield f'<text class="quiet small" x="{_LEFT - 10}" y="{_LANE_TOP + 18}" text-anchor="end">rollouts</text>'
    for outcome in outcomes:
        kind, mark = _MARKS.get(outcome.outcome, ("other", "–"))
        left, right = scale.x(outcome.started), scale.x(outcome.finished)
        width = max(right - left, 4.0)
        yield (
            f'<line class="end {kind}" x1="{right:.1f}" y1="{_LANE_TOP + _LANE}" x2="{right:.1f}" y2="{_BOTTOM}"/>'
            f'<rect class="{kind}" x="{left:.1f}" y="{_LANE_TOP}" width="{width:.1f}" height="{_LANE}" rx="5"/>'
        )
        text = f"{outcome.version} {mark}"
        if width >= 9 * len(text):
            middle = left + width / 2
            yield (
                f'<text class="on bold small" x="{middle:.1f}" y="{_LANE_TOP + 18}" text-anchor="middle">'
                f"{escape(text)}</text>"
            )


def _notes(scale: _Scale, outcomes: Sequence[Outcome]) -> Iterator[str]:
    for index, outcome in enumerate(outcomes):
        kind, mark = _MARKS.get(outcome.outcome, ("other", "–"))
        y = _NOTES - 20 + index * _NOTE
        yield f'<text class="quiet small" x="{_LEFT - 10}" y="{y}" text-anchor="end">{clock(outcome.finished - scale.begin)}</text>'
        text = f'<text class="ink" x="{_LEFT}" y="{y}"><tspan class="{kind} bold">{mark} {escape(_ending(outcome))}</tspan>'
        room = _NOTE_LENGTH - len(_ending(outcome))
        message = outcome.message if len(outcome.message) <= room else outcome.message[: room - 1] + "…"
        yield f'{text}<tspan class="quiet small" dx="10">{escape(message)}</tspan></text>'


def _ending(outcome: Outcome) -> str:
    took = f"{outcome.finished - outcome.started:.0f} s"
    if outcome.outcome == "Promoted":
        return f"{outcome.version} promoted in {took}"
    if outcome.outcome == "RolledBack":
        return f"{outcome.version} refused after {took}: {outcome.reason}"
    return f"{outcome.version} {outcome.outcome.lower()} after {took}"


def clock(seconds: float) -> str:
    """Write seconds since the start as minutes and seconds: `2:05`."""
    whole = max(int(seconds), 0)
    return f"{whole // 60}:{whole % 60:02d}"
