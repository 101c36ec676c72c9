"""The picture of a run, as SVG: memory and processor against the number of objects; pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.operator.results import Load, Results

WIDTH, HEIGHT = 960, 380
_PANEL, _LEFT, _TOP, _BOTTOM = 460, 60, 60, 320
_INNER = 350

_STYLE = """
  .paper{fill:#ffffff} .ink{fill:#1f2328} .quiet{fill:#656d76} .grid{stroke:#d0d7de;stroke-width:1}
  .luntra{stroke:#e07b1f;fill:#e07b1f} .flagger{stroke:#3b7fc4;fill:#3b7fc4} polyline{stroke-width:2;fill:none!important}
  text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:13px;stroke:none}
  .title{font-size:17px;font-weight:600} .small{font-size:12px}
  @media (prefers-color-scheme: dark){
    .paper{fill:#0d1117} .ink{fill:#e6edf3} .quiet{fill:#8b949e} .grid{stroke:#30363d}
    .luntra{stroke:#e8913f;fill:#e8913f} .flagger{stroke:#5a9bdc;fill:#5a9bdc}
  }
"""


def draw(results: Results) -> str:
    """Draw a run; contenders that were not measured are left out. Hollow circles: some of the objects roll."""
    parts = [
        *_panel(0, "Memory, MiB", results, lambda load: load.resident_bytes / 2**20),
        *_panel(_PANEL, "Processor, cores", results, lambda load: load.cores),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="Memory and processor against the number of objects"><style>{_STYLE}</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(x: float, title: str, results: Results, figure: Callable[[Load], float]) -> Iterator[str]:
    most = max((load.objects for load in results.loads), default=1)
    top = max((figure(load) for load in results.loads), default=1.0) or 1.0
    left = x + _LEFT
    yield f'<text class="ink title" x="{left}" y="30">{escape(title)}</text>'
    for share in (0.0, 0.5, 1.0):
        y = _BOTTOM - share * (_BOTTOM - _TOP)
        yield f'<line class="grid" x1="{left}" x2="{left + _INNER}" y1="{y:.0f}" y2="{y:.0f}"/>'
        yield f'<text class="quiet small" x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{top * share:.3g}</text>'
        middle = left + share * _INNER
        yield f'<text class="quiet small" x="{middle:.0f}" y="{_BOTTOM + 20}" text-anchor="middle">{most * share:,.0f}</text>'
    yield f'<text class="quiet small" x="{left + _INNER / 2:.0f}" y="{_BOTTOM + 40}" text-anchor="middle">objects</text>'
    for number, contender in enumerate(results.contenders):
        own = sorted((load for load in results.loads if load.contender == contender.name), key=_order)
        places = [
            (left + load.objects / most * _INNER, _BOTTOM - figure(load) / top * (_BOTTOM - _TOP), load) for load in own
        ]
        yield from _line(contender.name, places)
        yield f'<text class="{contender.name}" x="{left + 8}" y="{_TOP - 6 + 17 * number}">{escape(contender.title)}</text>'


def _order(load: Load) -> tuple[int, int]:
    return load.objects, load.rolling


def _line(name: str, places: Sequence[tuple[float, float, Load]]) -> Iterator[str]:
    idle = " ".join(f"{x:.1f},{y:.1f}" for x, y, load in places if not load.rolling)
    yield f'<polyline class="{name}" points="{idle}"/>'
    for x, y, load in places:
        hollow = ' fill-opacity="0"' if load.rolling else ""
        yield f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="4"{hollow}/>'
