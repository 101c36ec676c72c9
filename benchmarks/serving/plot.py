"""The picture of a run, as SVG: bars for throughput, and latencies before and during a change on a logarithmic axis; pure."""

from __future__ import annotations

import math
from html import escape
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.serving.results import Results

WIDTH = 960
_LEFT, _RIGHT = 210, 90
_BAR, _GAP, _GROUP = 15, 3, 16
_FIRST, _LAST = 1e-4, 10.0
"""Ends of the axis of latencies, in seconds."""

_STYLE = """
  .paper{fill:#ffffff} .ink{fill:#1f2328} .quiet{fill:#656d76} .grid{stroke:#d0d7de;stroke-width:1}
  .a{fill:#9cc3e6} .b{fill:#3b7fc4} .ours.a{fill:#f4c08f} .ours.b{fill:#e07b1f}
  text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:13px}
  .title{font-size:17px;font-weight:600} .small{font-size:12px}
  @media (prefers-color-scheme: dark){
    .paper{fill:#0d1117} .ink{fill:#e6edf3} .quiet{fill:#8b949e} .grid{stroke:#30363d}
    .a{fill:#2f5f8f} .b{fill:#5a9bdc} .ours.a{fill:#8a5524} .ours.b{fill:#e8913f}
  }
"""
Bar = tuple[str, float, str]
"""Class, length from 0 to 1, words."""


def draw(results: Results) -> str:
    """Draw a run; parts that were not measured are left out."""
    return bars(_panels(results), "Throughput and latency of the model servers")


def bars(panels: Iterable[tuple[str, list[tuple[str, list[Bar]]]]], label: str) -> str:
    """Draw panels of rows of bars, each with its words at its end, as a picture that calls itself `label`."""
    parts: list[str] = []
    y = 20.0
    for title, rows in panels:
        parts.append(f'<text class="ink title" x="24" y="{y + 20:.0f}">{escape(title)}</text>')
        y += 38
        for name, lengths in rows:
            parts += _row(name, lengths, y)
            y += len(lengths) * (_BAR + _GAP) + _GROUP
        y += 14
    height = math.ceil(y)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(label)}"><style>{_STYLE}</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panels(results: Results) -> Iterator[tuple[str, list[tuple[str, list[Bar]]]]]:
    titles = {one.name: one.title for one in results.servers}
    for model, described in (("points", "tiny model"), ("digits", "digits CNN")):
        if rows := _throughput(results, model, titles):
            yield f"Answers per second, JSON, {described}: 16 connections (light), 64 (dark)", rows
    for rate in sorted({one.rate for one in results.swaps}):
        if rows := _latencies(results, rate, titles):
            yield f"p99 latency at {rate:,} requests/s: before a change (light), during (dark); logarithmic", rows


def _throughput(results: Results, model: str, titles: dict[str, str]) -> list[tuple[str, list[Bar]]]:
    chosen = [one for one in results.throughput if one.model == model and one.encoding == "json"]
    rates = {(one.server, one.connections): median(one.rates) for one in chosen}
    top = max(rates.values(), default=1.0)
    return [
        (title, [(_shade(server, many), rates[server, many] / top, f"{rates[server, many]:,.0f}") for many in (16, 64)])
        for server, title in titles.items()
        if (server, 16) in rates and (server, 64) in rates
    ]


def _latencies(results: Results, rate: int, titles: dict[str, str]) -> list[tuple[str, list[Bar]]]:
    rows = []
    for one in results.swaps:
        if one.rate == rate and one.windows is not None:
            pair = ((16, one.windows.before.p99), (64, one.windows.during.p99))
            bars = [(_shade(one.server, shade), _place(seconds), f"{seconds * 1e3:,.1f} ms") for shade, seconds in pair]
            rows.append((titles[one.server], bars))
    return rows


def _place(seconds: float) -> float:
    """A latency's place on the logarithmic axis, 0 to 1."""
    place = math.log(max(seconds, _FIRST) / _FIRST) / math.log(_LAST / _FIRST)
    return min(place, 1.0)


def _shade(server: str, connections: int) -> str:
    return ("ours " if server == "luntra" else "") + ("a" if connections == 16 else "b")


def _row(label: str, bars: list[Bar], y: float) -> Iterator[str]:
    middle = y + len(bars) * (_BAR + _GAP) / 2 + 3
    yield f'<text class="ink" x="{_LEFT - 10}" y="{middle:.0f}" text-anchor="end">{escape(label)}</text>'
    for place, (shade, share, words) in enumerate(bars):
        top = y + place * (_BAR + _GAP)
        length = max(share * (WIDTH - _LEFT - _RIGHT), 1.0)
        yield f'<rect class="{shade}" x="{_LEFT}" y="{top:.0f}" width="{length:.1f}" height="{_BAR}" rx="2"/>'
        yield f'<text class="quiet small" x="{_LEFT + length + 6:.1f}" y="{top + 12:.0f}">{escape(words)}</text>'
